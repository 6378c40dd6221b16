"""One drawing of panels that share their time axis, as SVG in the page's own colours."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from contract.page import to_text

WIDTH, LEFT, RIGHT = 1032, 58, 14  # pixels
TITLE, HEIGHT, GAP, AXIS = 44, 112, 20, 26
MOST_POINTS = 480  # of a line: more are not seen
TIMES = (60, 300, 600, 900, 1800, 3600, 7200, 10_800, 14_400, 21_600, 43_200, 86_400, 172_800)
Style = Literal["area", "line", "dashed", "steps"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One line, a value for each of the points."""

    label: str
    values: Sequence[float]
    ink: str  # a variable of the page: accent, wrong, muted
    style: Style = "line"


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """A title and the lines under it."""

    title: str
    series: tuple[Series, ...]
    is_log: bool = False
    is_whole: bool = False  # ticks are whole numbers
    unit: str = ""  # before a value, e.g. $

    @property
    def top(self) -> float:
        """The largest value."""
        return max((max(one.values, default=0.0) for one in self.series), default=0.0)


def pooled(values: Sequence[float], how: Literal["mean", "most", "last"]) -> list[float]:
    """One value for each point of a drawing, from one for each second."""
    count = min(MOST_POINTS, len(values))
    edges = [len(values) * place // count for place in range(count + 1)]
    parts = (values[low:high] for low, high in pairwise(edges))
    if how == "mean":
        return [sum(part) / len(part) for part in parts]
    return [max(part) if how == "most" else part[-1] for part in parts]


def draw(panels: Sequence[Panel], seconds: int, alt: str) -> str:
    """Markup of all panels, with what shows the values under the pointer."""
    step = TITLE + HEIGHT + GAP
    height = step * len(panels) + AXIS - GAP
    parts = [
        _panel(panel, place * step + TITLE, seconds, is_last=place == len(panels) - 1)
        for place, panel in enumerate(panels)
    ]
    return (
        f'<div class="wide play"><svg role="img" aria-label="{to_text(alt)}" '
        f'viewBox="0 0 {WIDTH} {height}">{"".join(parts)}'
        f'<line class="hair" y1="{TITLE}" y2="{height - AXIS}" visibility="hidden"/></svg>'
        f"{_data(panels, seconds)}</div>"
    )


def _panel(panel: Panel, top: float, seconds: int, *, is_last: bool) -> str:
    low, high, ticks = _scale(panel)
    bottom = top + HEIGHT

    def place(value: float) -> float:
        if panel.is_log:
            share = math.log(max(value, low) / low) / math.log(high / low)
        else:
            share = (value - low) / (high - low)
        return bottom - HEIGHT * min(1.0, max(0.0, share))

    lines = [
        f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{place(tick):.1f}" '
        f'y2="{place(tick):.1f}"/><text class="tick" x="{LEFT - 10}" y="{place(tick) + 4:.1f}" '
        f'text-anchor="end">{_tick_name(panel, tick, ticks)}</text>'
        for tick in ticks
    ]
    drawn = [_series(one, [place(value) for value in one.values], bottom) for one in panel.series]
    return "".join([_title(panel, top), *lines, *_times(seconds, bottom, is_last=is_last), *drawn])


def _title(panel: Panel, top: float) -> str:
    """The title, then a swatch and a name for each line."""
    parts = [f'<text class="head" x="0" y="{top - 26}">{to_text(panel.title)}</text>']
    x = float(LEFT)
    for one in panel.series:
        ink = f"var(--{one.ink})"
        swatch = (
            f'<rect x="{x:.0f}" y="{top - 15}" width="14" height="8" fill="{ink}" '
            f'fill-opacity="{0.35 if one.style in ("area", "steps") else 1}" rx="2"/>'
            if one.style in ("area", "steps")
            else f'<line x1="{x:.0f}" x2="{x + 14:.0f}" y1="{top - 11}" y2="{top - 11}" '
            f'stroke="{ink}" stroke-width="2"{_dashes(one.style)}/>'
        )
        parts.append(
            f'{swatch}<text class="tick" x="{x + 20:.0f}" y="{top - 7}">{one.label}</text>'
        )
        x += 46 + 6.4 * len(one.label)
    parts.append(f'<text class="now" x="{WIDTH - RIGHT}" y="{top - 26}" text-anchor="end"></text>')
    return "".join(parts)


def _series(one: Series, ys: Sequence[float], bottom: float) -> str:
    ink = f"var(--{one.ink})"
    if one.style == "dashed" and len(set(one.values)) == 1:
        return (
            f'<path d="M{LEFT} {ys[0]:.1f}H{WIDTH - RIGHT}" fill="none" stroke="{ink}" '
            f'stroke-width="1.6"{_dashes(one.style)}/>'
        )
    width = (WIDTH - LEFT - RIGHT) / max(1, len(ys))
    if one.style == "steps":
        points = [f"M{LEFT} {ys[0]:.1f}"]
        points += [f"V{y:.1f}H{LEFT + (k + 1) * width:.1f}" for k, y in enumerate(ys)]
    else:
        points = [
            f"{'L' if k else 'M'}{LEFT + (k + 0.5) * width:.1f} {y:.1f}" for k, y in enumerate(ys)
        ]
    path = "".join(points)
    if one.style in ("line", "dashed"):
        return (
            f'<path d="{path}" fill="none" stroke="{ink}" stroke-width="1.6" '
            f'stroke-linejoin="round"{_dashes(one.style)}/>'
        )
    first = LEFT if one.style == "steps" else LEFT + width / 2
    last = WIDTH - RIGHT if one.style == "steps" else WIDTH - RIGHT - width / 2
    area = f"{path}L{last:.1f} {bottom:.1f}L{first:.1f} {bottom:.1f}Z"
    # Steps cover what was drawn before them, so that the rest of it shows beside them.
    below = f'<path d="{area}" fill="var(--surface)"/>' if one.style == "steps" else ""
    return (
        f'{below}<path d="{area}" fill="{ink}" fill-opacity="0.22"/>'
        f'<path d="{path}" fill="none" stroke="{ink}" stroke-width="1.4"/>'
    )


def _dashes(style: Style) -> str:
    return ' stroke-dasharray="5 4"' if style == "dashed" else ""


def _scale(panel: Panel) -> tuple[float, float, list[float]]:
    """(lowest, highest, ticks), in round numbers."""
    top = panel.top or 1.0
    if panel.is_log:
        least = min(min(one.values) for one in panel.series) or 0.001
        low, high = math.floor(math.log10(least)), math.ceil(math.log10(top) + 1e-9)
        high = max(high, low + 1)
        return 10.0**low, 10.0**high, [10.0**power for power in range(low, high + 1)]
    size = 10 ** math.floor(math.log10(top))
    step = next(part * size for part in (0.25, 0.5, 1, 2, 2.5) if top <= 4 * part * size)
    if panel.is_whole:
        step = max(1, math.ceil(step))
    count = math.ceil(top / step - 1e-9)
    return 0.0, count * step, [round(step * k, 10) for k in range(count + 1)]


def _tick_name(panel: Panel, tick: float, ticks: Sequence[float]) -> str:
    """Money has cents, where one of the ticks has."""
    if panel.unit == "$" and any(one != int(one) for one in ticks):
        return f"${tick:,.2f}"
    return f"{panel.unit}{tick:,g}"


def _times(seconds: int, bottom: float, *, is_last: bool) -> list[str]:
    """Upright lines, and their names below the last panel."""
    step = next((one for one in TIMES if seconds / one <= 12), 7 * 86_400)
    parts = []
    for second in range(0, seconds + 1, step):
        x = LEFT + (WIDTH - LEFT - RIGHT) * second / seconds
        parts.append(
            f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{bottom - HEIGHT}" y2="{bottom}"/>'
        )
        if is_last:
            anchor = "end" if x > WIDTH - RIGHT - 12 else "middle"
            name = _time_name(second, seconds)
            parts.append(
                f'<text class="tick" x="{x:.1f}" y="{bottom + 18}" text-anchor="{anchor}">{name}'
                "</text>"
            )
    return parts


def _time_name(second: int, seconds: int) -> str:
    """Minutes of less than an hour or two, hours:minutes of up to two days, days of more."""
    if seconds > 172_800:
        return f"{second / 86_400:g} d"
    if seconds <= 5400:
        return f"{second // 60} min"
    return f"{second // 3600}:{second // 60 % 60:02d} h"


def _data(panels: Sequence[Panel], seconds: int) -> str:
    """The values, for the script that shows those under the pointer."""
    told = {
        "seconds": seconds,
        "box": [LEFT, WIDTH - RIGHT, WIDTH],
        "panels": [
            [[one.label, [float(f"{value:.4g}") for value in one.values]] for one in panel.series]
            for panel in panels
        ],
    }
    # `<` cannot end the element early: no label of ours holds one, and numbers do not.
    return f'<script type="application/json">{json.dumps(told, separators=(",", ":"))}</script>'


STYLE = """
.play{overflow-x:auto;margin:18px 0 8px}
.play svg{display:block;width:100%;min-width:720px;height:auto;font:inherit;touch-action:pan-y}
.play .grid{stroke:var(--line);stroke-width:.8}
.play .tick{fill:var(--muted);font-size:12px;font-variant-numeric:tabular-nums}
.play .head{fill:var(--text);font-size:14px;font-weight:600}
.play .now{fill:var(--text);font-size:12.5px;font-variant-numeric:tabular-nums}
.play .hair{stroke:var(--text);stroke-width:1;opacity:.55}
"""

SCRIPT = """<script>
document.querySelectorAll('.play').forEach(function(box){
  var data=JSON.parse(box.querySelector('script').textContent),svg=box.querySelector('svg');
  var hair=svg.querySelector('.hair'),now=svg.querySelectorAll('.now');
  var low=data.box[0],high=data.box[1];
  function clock(t){
    var h=Math.floor(t/3600),m=Math.floor(t/60)%60;
    return h?h+' h '+(m<10?'0':'')+m+' min':m+' min';
  }
  function round(v){return v>=100?Math.round(v).toLocaleString('en'):+v.toPrecision(3)}
  svg.addEventListener('pointermove',function(event){
    var rect=svg.getBoundingClientRect();
    var x=(event.clientX-rect.left)/rect.width*data.box[2];
    var share=Math.min(.99999,Math.max(0,(x-low)/(high-low)));
    x=low+share*(high-low);
    hair.setAttribute('x1',x);hair.setAttribute('x2',x);
    hair.setAttribute('visibility','visible');
    data.panels.forEach(function(lines,k){
      now[k].textContent=(k?'':clock(share*data.seconds)+': ')+lines.map(function(line){
        return line[0]+' '+round(line[1][Math.floor(share*line[1].length)]);
      }).join(', ');
    });
  });
  svg.addEventListener('pointerleave',function(){
    hair.setAttribute('visibility','hidden');
    now.forEach(function(text){text.textContent=''});
  });
});
</script>"""
