"""What a clip may be about: a small fixed list that a person can read in a minute and a maker can state.

A maker states the categories that its clip has; a person forbids some, or allows only some. Nobody here reads the clip: a
false statement is a breach that the log shows, like a false name. The list only ever grows at its end.
"""

from __future__ import annotations

from enum import StrEnum


class ContentCategory(StrEnum):
    """Kinds of content that people who lend their face ask to be kept out of, or to be kept to."""

    POLITICS = "politics"
    RELIGION = "religion"
    ADULT = "adult"
    VIOLENCE = "violence"
    MEDICAL = "medical"
    FINANCE = "finance"
    ALCOHOL_TOBACCO_GAMBLING = "alcohol_tobacco_gambling"
    MINORS_AUDIENCE = "minors_audience"
    SATIRE = "satire"
    PROFANITY = "profanity"
    NEWS = "news"
    WEAPONS = "weapons"
    DRUGS = "drugs"
    HATE = "hate"
    CRIME = "crime"
    ROMANCE = "romance"
    SOCIAL_ISSUES = "social_issues"


NAMES: dict[str, dict[ContentCategory, str]] = {
    "en": {
        ContentCategory.POLITICS: "Politics: parties, elections, campaigns",
        ContentCategory.RELIGION: "Religion and belief",
        ContentCategory.ADULT: "Nudity and sex",
        ContentCategory.VIOLENCE: "Violence and injury",
        ContentCategory.MEDICAL: "Health advice and medicines",
        ContentCategory.FINANCE: "Money: loans, investments, crypto-assets",
        ContentCategory.ALCOHOL_TOBACCO_GAMBLING: "Alcohol, tobacco and gambling",
        ContentCategory.MINORS_AUDIENCE: "Made for children",
        ContentCategory.SATIRE: "Satire and parody",
        ContentCategory.PROFANITY: "Swearing and crude language",
        ContentCategory.NEWS: "News and reports of facts",
        ContentCategory.WEAPONS: "Weapons",
        ContentCategory.DRUGS: "Drugs",
        ContentCategory.HATE: "Contempt for groups of people",
        ContentCategory.CRIME: "Crime",
        ContentCategory.ROMANCE: "Romance and intimate relationships",
        ContentCategory.SOCIAL_ISSUES: "Disputed questions of society",
    },
    "zh": {
        ContentCategory.POLITICS: "政治：政党、选举、宣传",
        ContentCategory.RELIGION: "宗教与信仰",
        ContentCategory.ADULT: "裸露与性",
        ContentCategory.VIOLENCE: "暴力与伤害",
        ContentCategory.MEDICAL: "健康建议与药品",
        ContentCategory.FINANCE: "金钱：贷款、投资、加密资产",
        ContentCategory.ALCOHOL_TOBACCO_GAMBLING: "酒、烟草与赌博",
        ContentCategory.MINORS_AUDIENCE: "面向儿童",
        ContentCategory.SATIRE: "讽刺与戏仿",
        ContentCategory.PROFANITY: "脏话与粗俗用语",
        ContentCategory.NEWS: "新闻与事实报道",
        ContentCategory.WEAPONS: "武器",
        ContentCategory.DRUGS: "毒品",
        ContentCategory.HATE: "对人群的蔑视与仇恨",
        ContentCategory.CRIME: "犯罪",
        ContentCategory.ROMANCE: "恋爱与亲密关系",
        ContentCategory.SOCIAL_ISSUES: "有争议的社会议题",
    },
}
"""What each is called, by language."""
