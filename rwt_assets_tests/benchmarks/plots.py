"""Horizontal bars as SVG, so that the page of figures shows them without a program for plots."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

WIDTH, LEFT, RIGHT = 720, 190, 90
ROW, BAR, TOP, HEAD = 26, 18, 44, 30
OWN, OTHERS, TEXT = "#0b6e4f", "#9fb3c8", "#1f2933"


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar; `own` ones stand out."""

    label: str
    value: float
    own: bool = False


def write_bars(file: Path, title: str, unit: str, groups: Mapping[str, Sequence[Bar]]) -> None:
    """Write groups of bars, each under its name, the shortest bar first; no empty group."""
    given = {name: sorted(bars, key=lambda bar: bar.value) for name, bars in groups.items() if bars}
    longest = max((bar.value for bars in given.values() for bar in bars), default=1.0)
    height = TOP + sum(HEAD + ROW * len(bars) for bars in given.values()) + 12
    heading = f"{title} ({unit}, less is better)"
    size = f'viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
    font = f'font-family="system-ui, sans-serif" font-size="13" fill="{TEXT}"'
    drawn = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" {font}>',
        f"<title>{escape(title)}</title>",
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="16" y="26" font-size="16" font-weight="600">{escape(heading)}</text>',
    ]
    y = TOP
    for name, bars in given.items():
        drawn.append(f'<text x="16" y="{y + 18}" font-weight="600">{escape(name)}</text>')
        y += HEAD
        for bar in bars:
            width = max(1.0, bar.value / longest * (WIDTH - LEFT - RIGHT))
            middle = y + BAR / 2 + 5
            shown = f"{bar.value:,.0f}" if bar.value >= 100 else f"{bar.value:.1f}"
            weight = ' font-weight="600"' if bar.own else ""
            label = f'<text x="{LEFT - 10}" y="{middle}" text-anchor="end"{weight}>'
            shape = f'<rect x="{LEFT}" y="{y}" width="{width:.1f}" height="{BAR}" rx="2"'
            drawn += [
                f"{label}{escape(bar.label)}</text>",
                f'{shape} fill="{OWN if bar.own else OTHERS}"/>',
                f'<text x="{LEFT + width + 8:.1f}" y="{middle}"{weight}>{shown}</text>',
            ]
            y += ROW
    file.write_text("\n".join([*drawn, "</svg>\n"]))
