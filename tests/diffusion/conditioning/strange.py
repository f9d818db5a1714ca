"""Texts of many scripts, marks and blanks, to compare tokenizers on."""

from __future__ import annotations

import random
import unicodedata

WORD_LIST = " ".join(
    (
        "a photo of it's they'll I'M we've dog'd &amp; &lt;b&gt; &#39; 1,234 ½ Ⅷ x² 3.14 Straße İstanbul",
        "ΟΔΥΣΣΕΥΣ 日本語 한국어 नमस्ते 👩‍🚀 🏳️‍🌈 é _under_score_ --ar '' ’s ((( … <|endoftext|> <|startoftext|>",
        "<|ENDOFTEXT|> ſ 'ſ ﬁ Ǆ ŉ ẞ ЁЖИК ' http://a.b/c?d=e&f 🇩🇪 ไทย عربى עברית ℌ ㎏ 𝔘𝔫𝔦 ٣٤ masterpiece",
        "photorealistic supercalifragilistic",
    )
).split(" ")
BLANKS = ["", " ", "  ", "\n", "\t", "\u3000", "\x85", "\u200b", "\x1c", "\ufeff"]
# Blocks that the Unicode of ten years ago knew, so that all tables agree on them.
LETTERS = [
    chr(code)
    for block in ((0x20, 0x860), (0x900, 0x1400), (0x1E00, 0x2C00), (0x3000, 0x3200), (0x1F300, 0x1F640))
    for code in range(*block)
    if unicodedata.category(chr(code))[0] != "C"
]


def strange_text(choose: random.Random) -> str:
    """Words, marks, blanks and letters of many scripts, in any order."""
    if choose.random() < 0.5:
        return "".join(choose.choice(WORD_LIST) + choose.choice(BLANKS) for _ in range(choose.randint(1, 12)))
    plain = "abc dE'ts 12.,!-_"
    letters = (choose.choice(LETTERS if choose.random() < 0.4 else plain) for _ in range(choose.randint(1, 30)))
    return "".join(letters)
