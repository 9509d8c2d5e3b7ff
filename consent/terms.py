"""The exact words people agree to, and what they can be used for.

A text is never changed once released: a new version is added at the end of :data:`VERSIONS` and the old one stays, so that
every record can show what its person read. The hash is over the UTF-8 bytes of the text in NFC with ``\\n`` line ends.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field
from enum import StrEnum

from consent.canonical import sha256_hex
from consent.errors import ConsentInvalid


class Purpose(StrEnum):
    """What a likeness may be used for. Each is off until the person turns it on.

    cameo           short, light clips of a few seconds.
    digital_double  longer clips in which the double speaks or acts.
    voice           a made voice that sounds like the person.
    advertising     promoting goods, services or causes.
    training        improving or making models.
    """

    CAMEO = "cameo"
    DIGITAL_DOUBLE = "digital_double"
    VOICE = "voice"
    ADVERTISING = "advertising"
    TRAINING = "training"


class Reader(StrEnum):
    """Whom a text is for.

    subject         the person whose likeness it is.
    representative  who agrees on behalf of somebody who cannot, on a granted claim.
    look_alikes     the person once more: a yes of its own to being told of faces like theirs (:mod:`consent.look_alikes`).
    """

    SUBJECT = "subject"
    REPRESENTATIVE = "representative"
    LOOK_ALIKES = "look_alikes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """A text as it was shown. ``language`` is ``en`` or ``zh`` (Simplified Chinese); ``sha256`` in hex."""

    version: str
    language: str
    text: str = field(repr=False)
    sha256: str
    reader: Reader = Reader.SUBJECT


def _terms(version: str, language: str, source: str, reader: Reader = Reader.SUBJECT) -> Terms:
    """Source lines that only wrap are joined, so that a page can set the text at any width."""
    joint = "" if language == "zh" else " "
    lines: list[str] = []
    for line in source.strip("\n").split("\n"):
        starts = not lines or not lines[-1] or not line or line.startswith(("#", "- "))
        if starts:
            lines.append(line.strip())
        else:
            lines[-1] += joint + line.strip()
    text = unicodedata.normalize("NFC", "\n".join(lines) + "\n")
    return Terms(version=version, language=language, text=text, sha256=sha256_hex(text.encode("utf-8")), reader=reader)


def languages() -> tuple[str, ...]:
    """Languages the terms are written in."""
    return tuple(dict.fromkeys(terms.language for terms in VERSIONS))


def current(language: str, reader: Reader = Reader.SUBJECT) -> Terms:
    """The newest text in this language for that reader.

    Raises:
        ConsentInvalid: code ``terms_unknown`` when there is none; another language is never put in its place.
    """
    for terms in reversed(VERSIONS):
        if (terms.language, terms.reader) == (language, reader):
            return terms
    raise ConsentInvalid(f"terms are written in {', '.join(languages())}", code="terms_unknown")


def by_sha256(sha256: str) -> Terms | None:
    """The text with this hash, old versions too; ``None`` when we never showed it."""
    return _BY_SHA256.get(sha256)


_EN_2026_11 = """
# Your face, your consent

Version 2026-11

These words ask you for two separate things. Part A is about checking that it is really you. Part B is about making a
digital double of you. You can agree to Part A and refuse Part B. Nothing is decided for you: every choice in Part B
starts as "no".

"We" and "us" mean the organisation that is named, with its contact, as the controller in your consent record. It
answers for everything described here. "The service" means the Mien software that it runs.

## Who can agree

Only you, for yourself, and only if you are an adult where you live. You cannot agree for anyone else: not for a
child, a friend, a partner or someone who has died. Agreeing is your free choice. If you refuse, you lose nothing but
the double.

## Part A: checking your face

What is recorded. One short video of your face with sound. You read digits aloud and turn your head as asked.

Why. To see that a live, consenting person is in front of the camera, that it is one and the same person from start to
end, and that the recording was made now and for this request.

What is worked out from it. Your head movements, your mouth movements, the digits you said, a score for signs of a
screen or a print, and face templates. A face template is a list of numbers made from your face. It is biometric data:
it can be used to recognise you. We use it only to compare you with yourself.

How long it is kept. The recording is encrypted and deleted after the check, at the latest 24 hours after you made it.
If you do not agree to Part B, or if the check does not succeed, the templates are deleted with it. We keep the result
of the check and a fingerprint (a hash) of the recording. The fingerprint cannot be turned back into the recording; it
stops the same recording from being used twice.

If you would rather not be recorded, do not start. Ask the controller for another way to do what you came for.

## Part B: making and using your digital double

What is kept. One picture of your face and your face templates, taken from the recording of Part A. They are encrypted
with a key that belongs to your consent alone.

Why. So that clips can be made in which a made picture of you speaks or moves, and so that every request to make one
can be checked: each face in it must match someone who agreed to exactly that use.

What it may be used for. Each purpose is off until you turn it on:

- Cameo (cameo): short, light clips.
- Digital double (digital_double): longer clips in which your double speaks or acts.
- Voice (voice): a made voice that sounds like you.
- Advertising (advertising): promoting goods, services or causes.
- Training (training): improving or making AI models with your data. Without this choice, nothing of yours is used for
  training, by us or by anyone who makes clips.

Who may use it. Only the generators that you name. If you name none, nobody can. If you choose "every generator", any
one that is connected to the service can, within your other choices. A generator receives your picture only for a clip
that was permitted.

Limits. You can set the longest clip, words that your double must not say, and how many clips may be made.

How long. One year, unless you choose another date. Never more than ten years. After that it ends by itself; it is not
renewed without a new check and a new yes from you.

What is always true. Every clip carries a visible label that it was made by AI and a signed, machine-readable mark
that says so. Your name is in neither. Each clip needs a fresh permission from the service, and each request and each
answer is written down. Nobody is told how similar a face is to yours; they learn only whether they may go on.

What we do not do. We do not sell your face or your templates. We do not search for you in other pictures. We do not
give your templates to the generators.

## Changing your mind

You can withdraw at any time, in one step, without giving a reason and at no cost. You can also take back part of it:
a purpose, a generator, a longer date. It takes effect at once:

- No new clip is permitted, and clips still being made are stopped before they are released.
- Your picture and your templates are destroyed by destroying the key that opens them, in backups too.
- Clips that were already released stay marked as made by AI. Ask the controller to have them taken down; the service
  can tell which clips were made under your consent.

Withdrawing does not make wrong what was done before it.

## What stays as proof

Your consent record (what you agreed to, when, and for how long; under a made-up name, without your picture) is
signed, and you receive it with a receipt. The service's ledger, which others can check, holds only scrambled codes
(salted hashes) that prove the record existed and was not changed; they say nothing about you, and less still once the
salt is destroyed. We keep the record for as long as we may have to prove that you agreed or withdrew, as the law at
the place named in the record requires.

## Your rights

You can ask the controller to see what is held about you, to correct it, to have it deleted, and to receive a copy.
You can complain to the data protection authority where you live. The contact is in your consent record.
"""

_ZH_2026_11 = """
# 您的面容，由您同意

版本 2026-11

本文请您分别同意两件不同的事。第一部分是核实确为您本人；第二部分是制作您的数字分身。您可以只同意第一部分而拒绝第
二部分。我们不会替您做决定：第二部分的每一项选择一开始都是“否”。

“我们”指您的同意记录中列为控制者（个人信息处理者）并写明联系方式的组织，由其对本文所述的一切负责。“本服务”指
该组织运行的 Mien 软件。

## 谁可以同意

只有您本人可以为自己同意，并且您在居住地须已成年。您不能替任何其他人同意：不能替儿童、朋友、伴侣，也不能替已故的
人。是否同意由您自由决定。拒绝同意，除了没有数字分身以外，您不会有任何损失。

## 第一部分：核实您的面容

录制什么。一段带声音的短视频，内容是您的面部。您需要按提示朗读数字并转动头部。

为什么。为了确认镜头前是一位活生生的、自愿同意的人，从头到尾是同一个人，并且这段录像是此刻为本次请求而录制的。

从中得出什么。头部动作、嘴部动作、您说出的数字、画面是否像屏幕或照片的评分，以及人脸模板。人脸模板是由您的面容算
出的一串数字，属于生物识别信息，可以用来识别您。我们只用它把您与您自己作比对。

保存多久。录像加密保存，核实之后即删除，最迟不超过您录制后的 24 小时。如果您不同意第二部分，或者核实没有通过，人
脸模板会一并删除。我们保留核实的结果和录像的指纹（哈希值）。指纹无法还原为录像，只用来防止同一段录像被使用两次。

如果您不愿被录制，请不要开始，可以请控制者提供其他方式来办理您要办的事。

## 第二部分：制作和使用您的数字分身

保存什么。取自第一部分录像的一张面部图片和您的人脸模板，用一把只属于您这份同意的密钥加密。

为什么。为了制作由您的虚拟形象说话或活动的短片，也为了核查每一次制作请求：其中的每一张脸，都必须与同意了这一具体
用途的人相符。

可以用来做什么。每项用途在您打开之前都是关闭的：

- 客串（cameo）：简短、轻松的短片。
- 数字分身（digital_double）：由您的分身说话或表演的较长短片。
- 声音（voice）：合成的、听起来像您的声音。
- 广告（advertising）：宣传商品、服务或主张。
- 训练（training）：用您的数据改进或制作人工智能模型。没有这项选择，您的任何数据都不会被我们或任何制作短片的一方
  用于训练。

谁可以使用。只有您指定的生成程序。如果一个都不指定，就没有人可以使用。如果您选择“所有生成程序”，则接入本服务的
任何生成程序都可以在您其他选择的范围内使用。只有为了制作已获许可的短片，生成程序才会收到您的图片。

限制。您可以设定短片的最长时间、分身不得说出的词语，以及最多可以制作多少段短片。

期限。一年，除非您选择其他日期；最长不超过十年。到期自动终止；没有新的核实和您新的同意，不会续期。

始终如此的事。每段短片都带有“由人工智能生成”的可见标识，以及经过签名、机器可读的标记。两者都不含您的姓名。每段
短片都需要本服务新的许可，每次请求和每次答复都有记录。没有人会被告知一张脸与您有多相似，他们只知道能否继续。

我们不做的事。我们不出售您的面容或人脸模板；不在其他图片中搜寻您；不把您的人脸模板交给生成程序。

## 改变主意

您可以随时一步撤回同意，无需理由，也不收取费用。您也可以只收回其中一部分：某项用途、某个生成程序、较晚的到期日。
撤回立即生效：

- 不再许可新的短片；正在制作的短片在发布之前停止。
- 销毁密钥，从而销毁您的图片和人脸模板，备份中的也一样。
- 已经发布的短片仍带有“由人工智能生成”的标识。您可以要求控制者将其下架；本服务能够查明哪些短片是在您的同意之下
  制作的。

撤回不影响撤回之前基于您的同意所做之事的效力。

## 留作证明的内容

您的同意记录（您同意了什么、何时同意、为期多久；使用代号，不含您的图片）经过签名，并连同回执交给您。本服务可供他
人查验的账本里只有打乱的代码（加盐哈希值），用来证明记录曾经存在且未被改动；这些代码不透露您的任何信息，盐值销毁
之后更是如此。在我们可能需要证明您曾同意或撤回的期间，我们按照记录中所写地点的法律要求保存这份记录。

## 您的权利

您可以要求控制者让您查阅所保存的与您有关的信息，予以更正、删除，并提供副本。您也可以向居住地的个人信息保护主管机
关投诉。联系方式写在您的同意记录中。
"""

_EN_2026_12 = """
# Your face, your consent

Version 2026-12

These words ask you for two separate things. Part A is about checking that it is really you. Part B is about making a
digital double of you. Each is a yes of its own and is recorded on its own. You can agree to Part A and refuse Part B, or put
the answer off. Nothing is decided for you: every choice in Part B starts as "no".

"We" and "us" mean the organisation that is named, with its contact, as the controller in your consent record. It
answers for everything described here. "The service" means the Mien software that it runs.

## Who can agree

Only you, for yourself, and only if you are an adult where you live. You cannot agree for anyone else: not for a
child, a friend, a partner or someone who has died. Agreeing is your free choice. If you refuse, you lose nothing but
the double.

## Part A: checking your face

What is recorded. One short video of your face with sound. You read digits aloud and turn your head as asked.

Why. To see that a live, consenting person is in front of the camera, that it is one and the same person from start to
end, and that the recording was made now and for this request.

What is worked out from it. Your head movements, your mouth movements, the digits you said, a score for signs of a
screen or a print, and face templates. A face template is a list of numbers made from your face. It is biometric data:
it can be used to recognise you. We use it only to compare you with yourself.

How long it is kept. The recording is encrypted and deleted after the check, at the latest 24 hours after you made it.
If you do not agree to Part B, or if the check does not succeed, the templates are deleted with it. We keep the result
of the check and a fingerprint (a hash) of the recording. The fingerprint cannot be turned back into the recording; it
stops the same recording from being used twice. When you say yes to this part by itself, what you agreed to and the date by
which the recording and the templates are gone are written into a signed record, which you receive.

If you would rather not be recorded, do not start. Ask the controller for another way to do what you came for.

## Part B: making and using your digital double

What is kept. One picture of your face and your face templates, taken from the recording of Part A. They are encrypted
with a key that belongs to your consent alone.

Why. So that clips can be made in which a made picture of you speaks or moves, and so that every request to make one
can be checked: each face in it must match someone who agreed to exactly that use.

What it may be used for. Each purpose is off until you turn it on:

- Cameo (cameo): short, light clips.
- Digital double (digital_double): longer clips in which your double speaks or acts.
- Voice (voice): a made voice that sounds like you.
- Advertising (advertising): promoting goods, services or causes.
- Training (training): improving or making AI models with your data. Without this choice, nothing of yours is used for
  training, by us or by anyone who makes clips.

Who may use it. Only the generators that you name. If you name none, nobody can. If you choose "every generator", any
one that is connected to the service can, within your other choices. A generator receives your picture only for a clip
that was permitted.

Who may ask. Only you, people whom you name, or everyone. You can also say that you want to be asked each time: then no
clip is made before you said yes to that clip. If you do not answer, the answer is no.

Limits. You can set the longest clip, words that your double must not say, what clips must not be about (or what alone
they may be about), the countries where they may be published, and how many clips may be made. Those who ask must state
what a clip is about and where it will be published. If they do not state what you limited, the answer is no.

How long. One year, unless you choose another date. Never more than ten years. After that it ends by itself. It also
ends three years after you last had anything to do with it, if that is earlier. It can be renewed before it ends, for a
year or another time of at most ten years: with a new check that shows that it is you and a new yes from you, and never
for more than you allow at that moment. What has ended is not renewed.

Trying it out. You can ask the service at any time what your choices allow, and which of them stops the rest. Nothing is
made by asking.

What is always true. Every clip carries a visible label that it was made by AI and a signed, machine-readable mark
that says so. Your name is in neither. Each clip needs a fresh permission from the service, and each request and each
answer is written down. Nobody is told how similar a face is to yours; they learn only whether they may go on.

What we do not do. We do not sell your face or your templates. We do not search for you in other pictures. We do not
give your templates to the generators.

## Changing your mind

You can pause everything at any time, in one step. Nothing is permitted until it is resumed; what you paused, nobody
but you resumes. The controller, an authority or a review of your check can pause it too; you see who did.

You can withdraw at any time, in one step, without giving a reason and at no cost. You can also take back part of it:
a purpose, a generator, a person who may ask, a country, a longer date. It takes effect at once:

- No new clip is permitted, and clips still being made are stopped before they are released.
- Your picture and your templates are destroyed by destroying the key that opens them, in backups too.
- Clips that were already released stay marked as made by AI. Ask the controller to have them taken down; the service
  can tell which clips were made under your consent.

Withdrawing does not make wrong what was done before it.

## What stays as proof

Your consent record (what you agreed to, when, and for how long; under a made-up name, without your picture) is
signed, and you receive it with a receipt. The service's ledger, which others can check, holds only scrambled codes
(salted hashes) that prove the record existed and was not changed; they say nothing about you, and less still once the
salt is destroyed. We keep the record for as long as we may have to prove that you agreed or withdrew, as the law at
the place named in the record requires.

## Your rights

You can ask the controller to see what is held about you, to correct it, to have it deleted, and to receive a copy.
You can complain to the data protection authority where you live. The contact is in your consent record.
"""

_ZH_2026_12 = """
# 您的面容，由您同意

版本 2026-12

本文请您分别同意两件不同的事。第一部分是核实确为您本人；第二部分是制作您的数字分身。两项同意各自独立。您可
以只同意第一部分而拒绝第二部分，也可以暂不答复。我们不会替您做决定：第二部分的每一项选择一开始都是“否”。

“我们”指您的同意记录中列为控制者（个人信息处理者）并写明联系方式的组织，由其对本文所述的一切负责。“本服务”指
该组织运行的 Mien 软件。

## 谁可以同意

只有您本人可以为自己同意，并且您在居住地须已成年。您不能替任何其他人同意：不能替儿童、朋友、伴侣，也不能替已故的
人。是否同意由您自由决定。拒绝同意，除了没有数字分身以外，您不会有任何损失。

## 第一部分：核实您的面容

录制什么。一段带声音的短视频，内容是您的面部。您需要按提示朗读数字并转动头部。

为什么。为了确认镜头前是一位活生生的、自愿同意的人，从头到尾是同一个人，并且这段录像是此刻为本次请求而录制的。

从中得出什么。头部动作、嘴部动作、您说出的数字、画面是否像屏幕或照片的评分，以及人脸模板。人脸模板是由您的面容算
出的一串数字，属于生物识别信息，可以用来识别您。我们只用它把您与您自己作比对。

保存多久。录像加密保存，核实之后即删除，最迟不超过您录制后的 24 小时。如果您不同意第二部分，或者核实没有通过，人
脸模板会一并删除。我们保留核实的结果和录像的指纹（哈希值）。指纹无法还原为录像，只用来防止同一段录像被使用两次。您单
独同意这一部分时，您同意的内容以及录像和人脸模板最迟销毁的日期会写入经过签名的记录，并交给您。

如果您不愿被录制，请不要开始，可以请控制者提供其他方式来办理您要办的事。

## 第二部分：制作和使用您的数字分身

保存什么。取自第一部分录像的一张面部图片和您的人脸模板，用一把只属于您这份同意的密钥加密。

为什么。为了制作由您的虚拟形象说话或活动的短片，也为了核查每一次制作请求：其中的每一张脸，都必须与同意了这一具体
用途的人相符。

可以用来做什么。每项用途在您打开之前都是关闭的：

- 客串（cameo）：简短、轻松的短片。
- 数字分身（digital_double）：由您的分身说话或表演的较长短片。
- 声音（voice）：合成的、听起来像您的声音。
- 广告（advertising）：宣传商品、服务或主张。
- 训练（training）：用您的数据改进或制作人工智能模型。没有这项选择，您的任何数据都不会被我们或任何制作短片的一方
  用于训练。

谁可以使用。只有您指定的生成程序。如果一个都不指定，就没有人可以使用。如果您选择“所有生成程序”，则接入本服务的
任何生成程序都可以在您其他选择的范围内使用。只有为了制作已获许可的短片，生成程序才会收到您的图片。

谁可以提出请求。只有您本人、您指定的人，或者所有人。您也可以要求每次都先征求您的意见：在您同意某一段短片之前，不会制
作这段短片。您不答复，即为不同意。

限制。您可以设定短片的最长时间、分身不得说出的词语、短片不得涉及的内容（或只能涉及的内容）、可以发布的国家或地区，以
及最多可以制作多少段短片。提出请求的人必须说明短片涉及什么内容、在哪里发布。凡是您作了限制而对方没有说明的，一律不同
意。

期限。一年，除非您选择其他日期；最长不超过十年。到期自动终止。如果在此之前您已有三年与此事没有任何往来，则届时终止。到
期之前可以续期，为期一年或最长不超过十年的其他时间：须有新的核实表明确为您本人，并有您新的同意，且绝不超出您当时所允许
的范围。已经终止的不再续期。

试一试。您可以随时询问本服务：您的选择允许哪些使用，其余的被其中哪一项所阻止。询问不会制作任何东西。

始终如此的事。每段短片都带有“由人工智能生成”的可见标识，以及经过签名、机器可读的标记。两者都不含您的姓名。每段
短片都需要本服务新的许可，每次请求和每次答复都有记录。没有人会被告知一张脸与您有多相似，他们只知道能否继续。

我们不做的事。我们不出售您的面容或人脸模板；不在其他图片中搜寻您；不把您的人脸模板交给生成程序。

## 改变主意

您可以随时一步暂停一切。恢复之前，什么都不会被许可；您暂停的，只有您能恢复。控制者、主管机关或对您的核实进行的复查也可
以暂停；您会看到是谁暂停的。

您可以随时一步撤回同意，无需理由，也不收取费用。您也可以只收回其中一部分：某项用途、某个生成程序、某个可以提出请求的
人、某个国家或地区、较晚的到期日。撤回立即生效：

- 不再许可新的短片；正在制作的短片在发布之前停止。
- 销毁密钥，从而销毁您的图片和人脸模板，备份中的也一样。
- 已经发布的短片仍带有“由人工智能生成”的标识。您可以要求控制者将其下架；本服务能够查明哪些短片是在您的同意之下
  制作的。

撤回不影响撤回之前基于您的同意所做之事的效力。

## 留作证明的内容

您的同意记录（您同意了什么、何时同意、为期多久；使用代号，不含您的图片）经过签名，并连同回执交给您。本服务可供他
人查验的账本里只有打乱的代码（加盐哈希值），用来证明记录曾经存在且未被改动；这些代码不透露您的任何信息，盐值销毁
之后更是如此。在我们可能需要证明您曾同意或撤回的期间，我们按照记录中所写地点的法律要求保存这份记录。

## 您的权利

您可以要求控制者让您查阅所保存的与您有关的信息，予以更正、删除，并提供副本。您也可以向居住地的个人信息保护主管机
关投诉。联系方式写在您的同意记录中。
"""

_EN_FOR_REPRESENTATIVES_2026_12 = """
# The face of somebody you speak for

Version representative-2026-12

These words are for you if you speak for somebody who cannot agree themself: as the guardian of a child, as the guardian of
someone under a court's care, or as executor, heir or licensee of someone who has died. They ask you whether a digital
double of that person may be made. Nothing is decided for you: every choice starts as "no".

"We" and "us" mean the organisation that is named, with its contact, as the controller in the consent record. It answers
for everything described here. "The service" means the Mien software that it runs. "The person" is the one whose face it
is; "you" are the one who agrees.

## Whether you can agree

Only on a claim that was granted: everyone who must agree has signed, two reviewers have looked at the papers and the
photographs, and after a death the time for objections is over. You must be one of those who signed. You cannot agree for
an adult who can decide, not even as their agent.

The person's own word stands above yours. What they said in their lifetime, after a check of their own face, is the most
that can be allowed, and what they forbade cannot be allowed by anyone. If a person who was said to have died is seen alive,
everything stops.

Agreeing is your free choice. If you refuse, nobody loses anything but the double.

## Checking your face

You do a live check of your own face, just before you agree, so that it is certain that it was you. It follows Part A of the
words "Your face, your consent", which you are shown with it. The pictures and templates of your face are destroyed as soon
as you have agreed. The result of the check and a fingerprint (a hash) of the recording stay in the consent record, and so
does the made-up name under which you signed.

Nobody checks the face of the person in this way. The record says so: "liveness: not applicable".

## Making and using the double

What is kept. One of the photographs that both reviewers approved, and face templates made from those photographs. A face
template is a list of numbers made from a face. It is biometric data. Both are encrypted with a key that belongs to this
consent alone.

Why. So that clips can be made in which a made picture of the person speaks or moves, and so that every request to make one
can be checked: each face in it must match someone for whom exactly that use was agreed.

What it may be used for. Each purpose is off until you turn it on, and only purposes that everybody signed for can be
turned on:

- Cameo (cameo): short, light clips. Not possible for a child.
- Digital double (digital_double): longer clips in which the double speaks or acts.
- Voice (voice): a made voice that sounds like the person.
- Advertising (advertising): promoting goods, services or causes. Only for someone who has died.
- Training (training): improving or making AI models with the person's data. Only for someone who has died.

Who may use it. Only the generators that you name. "Every generator" is not possible for another.

Who may ask. Only people whom you name; if you name nobody, only you. "Everyone" is not possible for another. You can also
say that you want to be asked each time: then no clip is made before you said yes to that clip. If you do not answer, the
answer is no.

Limits. You can set the longest clip, words that the double must not say, what clips must not be about (or what alone
they may be about), the countries where they may be published, and how many clips may be made.

How long. At most one year, for a child at most five years and never past the 18th birthday, and never longer than the claim
stands. It also ends three years after you agreed or last took part of it back, if that is earlier. It is not renewed: while
the claim stands, you can agree anew.

What is always true. Every clip carries a visible label that it was made by AI and a signed, machine-readable mark
that says so. The person's name is in neither. Each clip needs a fresh permission from the service, and each request and
each answer is written down. Nobody is told how similar a face is; they learn only whether they may go on.

What we do not do. We do not sell the person's face or templates. We do not search for the person in other pictures. We do
not give the templates to the generators.

## Changing your mind

You can pause everything, take back a part, or withdraw, at any time, in one step, without giving a reason and at no cost.
Others can stop it too: the person, anyone who signed, and any nearest relative. Once a relative objects, nothing is made
until they take it back. When the claim ends, every consent on it ends. Withdrawing takes effect at once:

- No new clip is permitted, and clips still being made are stopped before they are released.
- The picture and the templates are destroyed by destroying the key that opens them, in backups too.
- Clips that were already released stay marked as made by AI. Ask the controller to have them taken down; the service
  can tell which clips were made under this consent.

Withdrawing does not make wrong what was done before it.

## When a child comes of age

On the 18th birthday what you agreed to ends, whatever this consent says, and the picture and templates are destroyed. From
then on only the person decides. They can see all that was made, and ask the controller to have it taken down.

## What stays as proof

The consent record (what you agreed to, for whom, on what basis, when, and for how long; under made-up names, without a
picture) is signed, and you receive it with a receipt. The service's ledger, which others can check, holds only scrambled
codes (salted hashes) that prove the record existed and was not changed. We keep the record for as long as we may have to
prove that you agreed or withdrew, as the law at the place named in the record requires.

## Rights

You can ask the controller to see what is held about you and, as far as the law lets you ask for the person, about them, to
correct it, to have it deleted, and to receive a copy. You can complain to the data protection authority where you live. The
contact is in the consent record.
"""

_ZH_FOR_REPRESENTATIVES_2026_12 = """
# 您所代表之人的面容

版本 representative-2026-12

如果您代表一位无法自己同意的人，本文供您阅读：您可能是未成年人的监护人、经法院指定照护之人的监护人，或者已故者的遗嘱执
行人、继承人或被许可人。本文请您决定，是否可以制作该人的数字分身。我们不会替您做决定：每一项选择一开始都是“否”。

“我们”指同意记录中列为控制者（个人信息处理者）并写明联系方式的组织，由其对本文所述的一切负责。“本服务”指该组织运行
的 Mien 软件。“本人”指面容所属之人；“您”指作出同意的人。

## 您是否可以同意

只有在案件已经核准时才可以：必须同意的人都已签署，两位审核人查看过文件和照片；如本人已故，异议期也已届满。您必须是签署
人之一。您不能替能够自己决定的成年人同意，作为其代理人也不可以。

本人的意愿高于您的意愿。本人生前在核实面容之后所作的表示，是可以允许的最大范围；本人所禁止的，任何人都不能允许。如果被
称已故的人被证实健在，一切立即停止。

是否同意由您自由决定。拒绝同意，除了没有数字分身以外，任何人都不会有任何损失。

## 核实您的面容

在同意之前，您要完成对您自己面容的真人核验，以确定作出同意的正是您。核验依照随之向您出示的《您的面容，由您同意》第一部
分进行。您一旦同意，您的面部图片和人脸模板即被销毁。核验的结果、录像的指纹（哈希值）以及您签署时所用的代号保留在同意记
录中。

本人的面容不经过这种核验。记录中写明：“liveness: not applicable”（真人核验不适用）。

## 制作和使用数字分身

保存什么。两位审核人都认可的照片中的一张，以及由这些照片算出的人脸模板。人脸模板是由面容算出的一串数字，属于生物识别信
息。两者都用一把只属于这份同意的密钥加密。

为什么。为了制作由本人的虚拟形象说话或活动的短片，也为了核查每一次制作请求：其中的每一张脸，都必须与已就这一具体用途获
得同意的人相符。

可以用来做什么。每项用途在您打开之前都是关闭的，而且只能打开所有人都签署过的用途：

- 客串（cameo）：简短、轻松的短片。不能代未成年人允许。
- 数字分身（digital_double）：由分身说话或表演的较长短片。
- 声音（voice）：合成的、听起来像本人的声音。
- 广告（advertising）：宣传商品、服务或主张。仅限已故者。
- 训练（training）：用本人的数据改进或制作人工智能模型。仅限已故者。

谁可以使用。只有您指定的生成程序。代他人同意时不能选择“所有生成程序”。

谁可以提出请求。只有您指定的人；如果一个都不指定，就只有您。代他人同意时不能选择“所有人”。您也可以要求每次都先征求
您的意见：在您同意某一段短片之前，不会制作这段短片。您不答复，即为不同意。

限制。您可以设定短片的最长时间、分身不得说出的词语、短片不得涉及的内容（或只能涉及的内容）、可以发布的国家或地区，以及
最多可以制作多少段短片。

期限。最长一年；未成年人最长五年，且绝不超过其十八岁生日；并且绝不超过案件的有效期。如果自您同意或最后一次收回其中一部分
起满三年的日期更早，则届时终止。不予续期：案件有效期间，您可以重新同意。

始终如此的事。每段短片都带有“由人工智能生成”的可见标识，以及经过签名、机器可读的标记。两者都不含本人的姓名。每段短片
都需要本服务新的许可，每次请求和每次答复都有记录。没有人会被告知一张脸有多相似，他们只知道能否继续。

我们不做的事。我们不出售本人的面容或人脸模板；不在其他图片中搜寻本人；不把人脸模板交给生成程序。

## 改变主意

您可以随时一步暂停一切、收回一部分或全部撤回，无需理由，也不收取费用。其他人也可以使其停止：本人、任何一位签署人，以及
任何一位最近顺位的亲属。一旦有亲属提出异议，在其撤回异议之前，不会制作任何内容。案件终止时，以其为依据的所有同意一并终
止。撤回立即生效：

- 不再许可新的短片；正在制作的短片在发布之前停止。
- 销毁密钥，从而销毁图片和人脸模板，备份中的也一样。
- 已经发布的短片仍带有“由人工智能生成”的标识。您可以要求控制者将其下架；本服务能够查明哪些短片是在这份同意之下
  制作的。

撤回不影响撤回之前基于同意所做之事的效力。

## 未成年人成年之时

到十八岁生日那天，无论这份同意如何写，您所同意的一切即告终止，图片和人脸模板随之销毁。此后只由本人决定。本人可以查看所
制作的一切，并可以要求控制者将其下架。

## 留作证明的内容

同意记录（您为谁、依据什么、同意了什么、何时同意、为期多久；使用代号，不含图片）经过签名，并连同回执交给您。本服务可供他
人查验的账本里只有打乱的代码（加盐哈希值），用来证明记录曾经存在且未被改动。在我们可能需要证明您曾同意或撤回的期间，我
们按照记录中所写地点的法律要求保存这份记录。

## 权利

您可以要求控制者让您查阅所保存的与您有关的信息，并在法律允许您代本人提出的范围内，查阅与本人有关的信息，予以更正、删
除，并提供副本。您也可以向居住地的个人信息保护主管机关投诉。联系方式写在同意记录中。
"""

_EN_LOOK_ALIKES_2026_12 = """
# Being told when somebody asks with a face like yours

Version look-alikes-2026-12

These words ask you for one thing, apart from everything else you agreed to: may this service look for your face in requests
that were refused, and tell you? It is off. If you say no, or nothing, you lose nothing: your digital double, your choices
and your protection stay as they are.

"We" and "us" mean the organisation that is named, with its contact, as the controller in your consent record. "The
service" means the Mien software that it runs.

## What is done

A generator of videos must ask this service before it uses a face. If nobody's leave was shown for a face, the answer is no.
Without these words that is the end of it: the face is compared with nobody else's. If you agree, such a face is
afterwards compared with yours, and if the two are much alike you are told.

The words for your double say that we do not search for you in other pictures. This is the one exception to that. Your face
is not looked for anywhere else: not on the internet, not in pictures that people hand in for other reasons, and not for
anybody else. Nobody can ask the service whose face something is.

## What is kept

A code made from your face templates with a secret key that only this service has. Without the key nobody can compare it with
a photograph. It is biometric data all the same. It lies apart from everything else about you, with the codes of others who
agreed, and is used for nothing else.

The face in a refused request is kept sealed until it was compared, at most one hour. Whoever asked never learns that it was
compared, or with what result.

## What you are told

That somebody asked with a face like yours: the day and hour, which generator, and for what purpose. Not the picture, not who
asked beyond the name of the generator, and not how alike the faces are. You are told within a day or so and not at once, so
that nobody can try faces and watch what happens. You are told of three requests a day at most.

The app where you agreed is told only that there is something for you to see.

## It can be wrong

Two people can look alike: a relative, a twin, or a stranger. What you are told is a hint and never proof that it was you, and
it says nothing about whoever asked. It can also miss you: in a poor picture, in make-up, or from the side. No news is not proof
that nobody tried. Whatever you are told, the request had been refused already.

## How long, and how to stop

Until you take it back or the consent that you gave for your double ends, whichever is first. You can take it back at any
time, in one step, without a reason and at no cost. The code is then deleted at once. What you were told already stays on
your list until you have your data deleted.

## What stays as proof

That you said yes, and that you took it back: a signed record of each under a made-up name, which you receive. The service's
ledger holds only scrambled codes (salted hashes) of them.

## Your rights

You can ask the controller to see what is held about you, to correct it, to have it deleted, and to receive a copy. You can
complain to the data protection authority where you live. The contact is in your consent record.
"""

_ZH_LOOK_ALIKES_2026_12 = """
# 有人用与您相似的面孔提出请求时告知您

版本 look-alikes-2026-12

本文只请您同意一件事，它与您此前同意的一切分开：本服务可否在被拒绝的请求中查找您的面孔，并告知您？此项一开始是关闭的。如果
您拒绝或不答复，您不会有任何损失：您的数字分身、您的选择以及对您的保护都保持原样。

“我们”指您的同意记录中列为控制者（个人信息处理者）并写明联系方式的组织。“本服务”指该组织运行的 Mien 软件。

## 做什么

视频生成程序在使用一张脸之前必须询问本服务。如果没有就这张脸出示任何人的许可，答复就是拒绝。若没有您对本文的同意，事情到此为
止：这张脸不会再与任何其他人比对。如果您同意，这样的脸在拒绝之后会与您的脸比对；如果两者非常相似，您会得到告知。

关于数字分身的文本写明，我们不在其他图片中搜寻您。这是唯一的例外。不会在其他任何地方查找您的面孔：不在互联网上，不在人们因其他原因提交的图片中，也不为任何其他人查找。没有人可以向本服务询问某
张脸是谁。

## 保存什么

用只有本服务持有的密钥由您的人脸模板算出的一段代码。没有该密钥，任何人都不能将其与照片比对。它仍然属于生物识别信息。它与您的
其他信息分开，和其他同意者的代码存放在一起，不作其他用途。

被拒绝的请求中的脸加密保存至比对完成，最长一小时。提出请求的人永远不会知道进行过比对，也不会知道结果。

## 您会被告知什么

有人用与您相似的脸提出了请求：日期和钟点、哪个生成程序、什么用途。不会告知图片，除生成程序的名称外不会告知是谁提出的，也不会
告知两张脸有多相似。您大约在一天之内得到告知，而不是立即，以免有人用面孔反复试探并观察反应。每天最多告知三次请求。

您在其中作出同意的应用只会得知有内容供您查看。

## 可能有误

两个人可能长得相像：亲属、双胞胎或陌生人。您得到的告知只是提示，绝不是“那就是您”的证明，也不说明提出请求者的任何情况。它也
可能漏掉您：图片质量差、化了妆或侧脸时。没有消息并不证明没有人尝试过。无论告知您什么，该请求都早已被拒绝。

## 期限与停止

到您撤回为止，或到您为数字分身所作的同意终止为止，以较早者为准。您可以随时一步撤回，无需理由，也不收取费用。代码随即删除。
已经告知您的内容保留在您的清单上，直到您要求删除您的数据。

## 留作证明的内容

您曾表示同意以及您已撤回：各有一份使用代号、经过签名的记录，并交给您。本服务的账本里只有它们的打乱的代码（加盐哈希值）。

## 您的权利

您可以要求控制者让您查阅所保存的与您有关的信息，予以更正、删除，并提供副本。您也可以向居住地的个人信息保护主管机关投诉。联系
方式写在您的同意记录中。
"""

VERSIONS: tuple[Terms, ...] = (
    _terms("2026-11", "en", _EN_2026_11),
    _terms("2026-11", "zh", _ZH_2026_11),
    _terms("2026-12", "en", _EN_2026_12),
    _terms("2026-12", "zh", _ZH_2026_12),
    _terms("representative-2026-12", "en", _EN_FOR_REPRESENTATIVES_2026_12, Reader.REPRESENTATIVE),
    _terms("representative-2026-12", "zh", _ZH_FOR_REPRESENTATIVES_2026_12, Reader.REPRESENTATIVE),
    _terms("look-alikes-2026-12", "en", _EN_LOOK_ALIKES_2026_12, Reader.LOOK_ALIKES),
    _terms("look-alikes-2026-12", "zh", _ZH_LOOK_ALIKES_2026_12, Reader.LOOK_ALIKES),
)
"""Every text ever released, oldest first."""

_BY_SHA256 = {terms.sha256: terms for terms in VERSIONS}
