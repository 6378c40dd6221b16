"""What the pages of the debugger look like beyond what all our pages share."""

import re
from collections.abc import Sequence

from contract.page_style import STORY_STYLE
from debugger.report.ink import build_variables

_HEAD = re.compile(r'<section id="([^"]+)"><h2>(.*?)</h2>')


def to_contents(sections: Sequence[str]) -> str:
    """Links to the sections, in their order."""
    heads = [match for section in sections if (match := _HEAD.match(section))]
    links = "".join(f'<a href="#{head.group(1)}">{head.group(2)}</a>' for head in heads)
    return f'<nav aria-label="Sections">{links}</nav>'


def to_look() -> str:
    """CSS of a page of the debugger."""
    return f"{STORY_STYLE}{build_variables()}{_STYLE}"


_STYLE = """
h3{font-size:15px;margin:28px 0 10px}
nav{display:flex;flex-wrap:wrap;gap:6px 8px;margin:26px 0 0}
nav a{color:var(--accent);background:var(--raised);border-radius:8px;padding:4px 10px;
  text-decoration:none;font-size:13.5px}
nav a:hover,nav a:focus-visible{text-decoration:underline}
a{color:var(--accent)}
section{scroll-margin-top:12px}
figure svg{display:block;max-width:100%;height:auto;font-family:inherit;overflow:visible}
figure svg *{stroke-linejoin:round}
.wide{margin:14px 0 18px}
.wide svg{min-width:760px}
.panels{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,440px),1fr));
  gap:22px 24px;margin:16px 0 18px}
.swatch{display:inline-block;width:11px;height:11px;border-radius:3px;margin-right:7px;
  box-shadow:0 0 0 1px var(--line);print-color-adjust:exact;-webkit-print-color-adjust:exact}
.key{display:flex;flex-wrap:wrap;align-items:center;gap:4px 16px;max-width:none;color:var(--muted);
  font-size:13.5px}
.key>.swatch{margin:0 -12px 0 0;border-radius:0;width:18px;box-shadow:none}
.badge{display:inline-block;border-radius:6px;padding:1px 8px;font-size:12.5px;font-weight:600;
  border:1px solid currentColor;white-space:nowrap}
.badge.bad{color:var(--wrong)}
.badge.good{color:var(--evaluate)}
.badge.quiet{color:var(--muted)}
.figures td{vertical-align:top;overflow-wrap:normal;white-space:nowrap}
.prose td,.figures td:has(code){white-space:normal}
.prose td.n{white-space:nowrap}
.prose td:has(code){min-width:16em}
.figures thead th{white-space:normal;overflow-wrap:normal;vertical-align:bottom}
.figures tbody td:first-child{min-width:7em}
td .badge{margin-top:4px}
.paper{background:#fff;border:1px solid var(--line);border-radius:10px;padding:8px}
.paper img{display:block;max-width:100%;height:auto;margin:0 auto}
@media(max-width:640px){.tiles{grid-template-columns:1fr 1fr;gap:8px}.tile{padding:10px 12px}
  .tile b{font-size:22px}.prose thead{display:none}.prose tr{display:block;padding:8px 0;
  border-bottom:1px solid var(--line)}.prose td,.prose td.n{display:block;border:0;padding:2px 12px;
  text-align:left;white-space:normal}.prose td[data-head]{display:inline-block}
  .prose td[data-head]::before{content:attr(data-head) " ";color:var(--muted)}}
code{font-size:13px;overflow-wrap:anywhere}
section .scroll.whole{max-height:none}
.pair .scroll+.scroll{margin-top:16px}
section>.scroll{margin:0 0 18px}
@media print{nav{display:none}figure,.panels>*{break-inside:avoid}.wide svg{min-width:0}
  .panels{grid-template-columns:1fr 1fr}h3{break-after:avoid}
  body,svg,.tile,.bar i{print-color-adjust:exact;-webkit-print-color-adjust:exact}}
"""
