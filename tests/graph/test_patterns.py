from __future__ import annotations

from datetime import datetime

import pytest

from app.graph.patterns import date_text, fill_patterns

NOW = datetime(2024, 3, 5, 17, 8, 9)
VALUES: dict[tuple[str, str], object] = {
    ("KSampler", "seed"): 2**63 + 1,
    ("KSampler", "cfg"): 7.0,
    ("KSampler", "denoise"): 0.25,
    ("My.node", "on"): True,
    ("Load", "file"): 'a/b:c*"d"\n.png',
}


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("%KSampler.seed%_x", f"{2**63 + 1}_x"),
        ("%KSampler.cfg%-%KSampler.denoise%", "7-0.25"),
        ("%My.node.on%", "true"),
        ("%Load.file%", "a_b_c__d__.png"),
        ("%date:yyyy-MM-dd%", "2024-03-05"),
        ("%KSampler.nothing% %Nobody.seed%", "%KSampler.nothing% %Nobody.seed%"),
        ("100% sure, 50% off", "100% sure, 50% off"),
        ("%.seed% %KSampler% %%", "%.seed% %KSampler% %%"),
        ("", ""),
    ],
)
def test_what_a_pattern_becomes(text: str, filled: str) -> None:
    assert fill_patterns(text, lambda node, widget: VALUES.get((node, widget)), NOW) == filled


@pytest.mark.parametrize(
    ("pattern", "text"),
    [("yyyyMMdd", "20240305"), ("yy-M-d", "24-3-5"), ("hh.mm.ss", "17.08.09"), ("h_m_s", "17_8_9"), ("Q", "Q")],
)
def test_dates(pattern: str, text: str) -> None:
    assert date_text(pattern, NOW) == text
