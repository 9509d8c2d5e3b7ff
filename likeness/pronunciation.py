"""What English words sound like, in the IPA spelling that Piper voices were trained on.

Words come from the CMU Pronouncing Dictionary; one that it does not have is spelled to sound by a small recurrent network
(the weights of g2p-en, Apache-2.0). Both are data of a model card; nothing here is or needs eSpeak, which is GPL.

The voices expect eSpeak's habits for American English, so the dictionary's sounds are spelled that way: long marks on tense
vowels, a tap between vowels, little words without stress.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from likeness.errors import VoiceUnavailable

DICTIONARY = "cmudict.dict"
HOMOGRAPHS = "homographs.en"
SPELLER = "checkpoint20.npz"

# ARPAbet to IPA. Vowels: stressed, unstressed.
_VOWELS = {
    "AA": ("ɑː", "ɑː"), "AE": ("æ", "æ"), "AH": ("ʌ", "ə"), "AO": ("ɔː", "ɔː"), "AW": ("aʊ", "aʊ"), "AY": ("aɪ", "aɪ"),
    "EH": ("ɛ", "ɛ"), "ER": ("ɜː", "ɚ"), "EY": ("eɪ", "eɪ"), "IH": ("ɪ", "ɪ"), "IY": ("iː", "i"), "OW": ("oʊ", "oʊ"),
    "OY": ("ɔɪ", "ɔɪ"), "UH": ("ʊ", "ʊ"), "UW": ("uː", "uː"),
}  # fmt: skip
_CONSONANTS = {
    "B": "b", "CH": "tʃ", "D": "d", "DH": "ð", "F": "f", "G": "ɡ", "HH": "h", "JH": "dʒ", "K": "k", "L": "l", "M": "m",
    "N": "n", "NG": "ŋ", "P": "p", "R": "ɹ", "S": "s", "SH": "ʃ", "T": "t", "TH": "θ", "V": "v", "W": "w", "Y": "j",
    "Z": "z", "ZH": "ʒ",
}  # fmt: skip
_STRESS = {"1": "ˈ", "2": "ˌ", "0": ""}

_WEAK = {
    "a": "ɐ", "an": "ɐn", "the": "ðə", "to": "tə", "of": "ʌv", "and": "ænd", "for": "fɔːɹ", "i": "aɪ", "is": "ɪz", "it": "ɪt",
    "in": "ɪn", "or": "ɔːɹ", "as": "æz", "at": "æt", "was": "wʌz", "be": "biː", "he": "hiː", "she": "ʃiː", "we": "wiː",
    "you": "juː", "me": "miː", "my": "maɪ", "your": "jʊɹ", "his": "hɪz", "her": "hɜː", "our": "ˌaʊɚ", "their": "ðɛɹ",
    "its": "ɪts", "this": "ðɪs", "that": "ðæt", "are": "ɑːɹ", "am": "æm", "were": "wɜː", "will": "wɪl", "would": "wʊd",
    "can": "kæn", "could": "kʊd", "should": "ʃʊd", "has": "hɐz", "have": "hæv", "had": "hɐd", "do": "duː", "does": "dʌz",
    "but": "bˌʌt", "with": "wɪð", "from": "fɹʌm", "by": "baɪ", "on": "ˌɔn", "if": "ɪf", "so": "sˌoʊ", "they": "ðeɪ",
    "them": "ðˌɛm", "us": "ˌʌs", "not": "nˌɑːt", "than": "ðɐn", "into": "ˌɪntʊ", "it's": "ɪts", "i'm": "aɪm", "let's": "lˈɛts",
    "i'll": "aɪl", "we're": "wɪɹ", "there": "ðɛɹ", "been": "bˌɪn",
}  # fmt: skip
"""How little words are said inside a sentence."""

_VERB_BEFORE = {
    "to", "will", "would", "can", "could", "should", "must", "may", "might", "shall", "i", "you", "we", "they", "not", "please",
    "don't", "didn't", "doesn't", "won't", "can't", "couldn't", "wouldn't", "shouldn't", "let's",
}  # fmt: skip
_TO_BEFORE = {"to", "will", "would", "can", "could", "should", "must", "may", "might"}
_ADJECTIVE_BEFORE = {"a", "the", "is", "are", "was", "go", "goes", "going", "went", "watch", "this", "our", "streamed"}
_PAST_BEFORE = {"have", "has", "had", "was", "were", "been", "is", "are", "be"}
_PAST_NEARBY = {"yesterday", "ago", "last", "already"}

_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_GRAPHEMES = ["<pad>", "<unk>", "</s>", *_LETTERS]
_PHONEMES = [
    "<pad>", "<unk>", "<s>", "</s>",
    *(f"{vowel}{stress}" for vowel in ("AA", "AE", "AH", "AO", "AW", "AY") for stress in "012"),
    "B", "CH", "D", "DH", "EH0", "EH1", "EH2", "ER0", "ER1", "ER2", "EY0", "EY1", "EY2", "F", "G", "HH",
    "IH0", "IH1", "IH2", "IY0", "IY1", "IY2", "JH", "K", "L", "M", "N", "NG", "OW0", "OW1", "OW2", "OY0", "OY1", "OY2",
    "P", "R", "S", "SH", "T", "TH", "UH0", "UH1", "UH2", "UW", "UW0", "UW1", "UW2", "V", "W", "Y", "Z", "ZH",
]  # fmt: skip
"""Classes of the spelling network, in the order it was trained with."""
_MOST_PHONEMES = 20


@dataclass(frozen=True, slots=True)
class _Homograph:
    as_kind: tuple[str, ...]
    otherwise: tuple[str, ...]
    kind: str


_OWN_HOMOGRAPHS = {
    "read": _Homograph(("R", "EH1", "D"), ("R", "IY1", "D"), "past"),
    "live": _Homograph(("L", "AY1", "V"), ("L", "IH1", "V"), "adjective"),
}
"""Words that the data has wrong, or not at all."""


class EnglishPronunciation:
    """Says how words sound. Opened once; safe to share between threads."""

    def __init__(self, folder: Path) -> None:
        """``folder``: what ``open_weights`` answered for the card of English words.

        Raises:
            VoiceUnavailable: when the files are not readable as what the card says they are.
        """
        try:
            self._entries = _dictionary((folder / DICTIONARY).read_text("utf-8"))
            self._homographs = _homographs((folder / HOMOGRAPHS).read_text("utf-8"))
            self._speller = _Speller(folder / SPELLER)
        except (OSError, ValueError, KeyError) as error:
            raise VoiceUnavailable(f"English pronunciations do not load ({type(error).__name__})") from error

    def sounds(self, words: Sequence[str]) -> tuple[str, ...]:
        """IPA of each word of a sentence. Words as :class:`likeness.reading.Said` gives them: lower case; ``^`` at the
        end asks for spelling out unless the dictionary knows the word."""
        plain = [word.rstrip("^") for word in words]
        return tuple(self._sound(word, plain, place) for place, word in enumerate(words))

    def _sound(self, asked: str, words: list[str], place: int) -> str:
        word = words[place]
        if len(words) > 1:
            following = words[place + 1] if place + 1 < len(words) else ""
            if word == "the" and following[:1] in set("aeio"):
                return "ðɪ"
            if word in _WEAK and following and not asked.endswith("^"):
                return _WEAK[word]
        if word in self._homographs:
            return ipa(self._choose(self._homographs[word], words, place))
        return "".join(ipa(part) for part in self._parts(word, spell=asked.endswith("^")))

    def _choose(self, homograph: _Homograph, words: list[str], place: int) -> tuple[str, ...]:
        before = words[place - 1] if place else ""
        match homograph.kind:
            case "past":
                holds = before in _PAST_BEFORE or (before not in _TO_BEFORE and bool(_PAST_NEARBY & set(words)))
            case "adjective":
                holds = before in _ADJECTIVE_BEFORE
            case _ if homograph.kind.startswith("V"):
                holds = before in _VERB_BEFORE
            case _:
                holds = before not in _VERB_BEFORE
        return homograph.as_kind if holds else homograph.otherwise

    def _parts(self, word: str, *, spell: bool) -> list[tuple[str, ...]]:
        known = self._entries.get(word)
        if known is not None:
            return [known]
        if word.endswith("'s") or (word.endswith("'") and len(word) > 1):
            stem = word[: word.rindex("'")]
            *start, last = self._parts(stem, spell=spell)
            return [*start, (*last, *_possessive(last[-1]))] if word.endswith("'s") else [*start, last]
        letters = "".join(letter for letter in word if letter in _LETTERS)
        if not letters:
            return []
        if spell or len(letters) == 1 or not set(letters) & set("aeiouy"):
            return [self._entries[letter] if letter != "a" else ("EY1",) for letter in letters]
        return [self._speller.spell(letters)]


def ipa(phonemes: Sequence[str]) -> str:
    """ARPAbet with stress figures to IPA, as eSpeak spells American English.

    A tap stands for t between a vowel (or r) and an unstressed vowel; a word-initial unstressed AH is a near-open one.
    """
    made: list[str] = []
    for place, phoneme in enumerate(phonemes):
        if phoneme in _CONSONANTS:
            tapped = (
                phoneme == "T" and 0 < place < len(phonemes) - 1 and _taps(phonemes[place - 1], phonemes[place + 1])
            )
            made.append("ɾ" if tapped else _CONSONANTS[phoneme])
            continue
        vowel, stress = (phoneme[:-1], phoneme[-1]) if phoneme[-1].isdigit() else (phoneme, "0")
        following = phonemes[place + 1] if place + 1 < len(phonemes) else ""
        if vowel == "AH" and stress == "0" and place == 0:
            made.append("ɐ")
        elif vowel in {"AH", "IH"} and stress == "0" and _ends_weakly(phonemes, place):
            made.append("ᵻ")
        else:
            linking = "ɹ" if vowel == "ER" and following[-1:].isdigit() else ""
            made.append(_STRESS[stress] + _VOWELS[vowel][stress == "0"] + linking)
    return "".join(made)


def _taps(before: str, after: str) -> bool:
    return (before[-1].isdigit() or before == "R") and after.endswith("0")


def _ends_weakly(phonemes: Sequence[str], place: int) -> bool:
    """The vowel of *wanted*, *houses*: written with a letter of its own."""
    before, rest = phonemes[place - 1], tuple(phonemes[place + 1 :])
    return (rest == ("D",) and before in {"T", "D"}) or (rest == ("Z",) and before in {"S", "Z", "SH", "CH", "JH"})


def _possessive(last: str) -> tuple[str, ...]:
    if last in {"S", "Z", "SH", "ZH", "CH", "JH"}:
        return ("IH0", "Z")
    return ("S",) if last in {"P", "T", "K", "F", "TH"} else ("Z",)


def _dictionary(text: str) -> dict[str, tuple[str, ...]]:
    """First pronunciation of each word."""
    entries: dict[str, tuple[str, ...]] = {}
    for line in text.splitlines():
        word, _, rest = line.partition("#")[0].strip().partition(" ")
        if word and "(" not in word:
            entries[word] = tuple(rest.split())
    if any(letter not in entries for letter in _LETTERS):
        raise ValueError("dictionary lacks a letter")
    return entries


def _homographs(text: str) -> dict[str, _Homograph]:
    made = {}
    for line in text.splitlines():
        if line.startswith("#") or line.count("|") != 3:
            continue
        word, first, second, kind = line.split("|")
        made[word.lower()] = _Homograph(tuple(first.split()), tuple(second.split()), kind.strip())
    return made | _OWN_HOMOGRAPHS


class _Speller:
    """Two gated recurrent units (arXiv:1406.1078): one reads the letters, one writes the phonemes."""

    def __init__(self, file: Path) -> None:
        with np.load(file, allow_pickle=False) as stored:
            self._w = {name: stored[name].astype(np.float32) for name in stored.files}
        if self._w["enc_emb"].shape[0] != len(_GRAPHEMES) or self._w["fc_b"].shape[0] != len(_PHONEMES):
            raise ValueError("spelling network has other classes")

    def spell(self, word: str) -> tuple[str, ...]:
        state = np.zeros(self._w["enc_w_hh"].shape[1], np.float32)
        for letter in [*word, "</s>"]:
            state = self._step("enc", self._w["enc_emb"][_GRAPHEMES.index(letter)], state)
        made: list[str] = []
        last = _PHONEMES.index("<s>")
        while len(made) < _MOST_PHONEMES:
            state = self._step("dec", self._w["dec_emb"][last], state)
            last = int(np.argmax(self._w["fc_w"] @ state + self._w["fc_b"]))
            if _PHONEMES[last] == "</s>":
                break
            if not _PHONEMES[last].startswith("<"):
                made.append(_PHONEMES[last])
        return tuple(made)

    def _step(self, side: str, given: NDArray[np.float32], state: NDArray[np.float32]) -> NDArray[np.float32]:
        from_input = self._w[f"{side}_w_ih"] @ given + self._w[f"{side}_b_ih"]
        from_state = self._w[f"{side}_w_hh"] @ state + self._w[f"{side}_b_hh"]
        size = len(state)
        reset, update = np.split(1 / (1 + np.exp(-(from_input + from_state)[: 2 * size])), 2)
        new = np.tanh(from_input[2 * size :] + reset * from_state[2 * size :])
        return np.asarray((1 - update) * new + update * state, dtype=np.float32)
