"""The style sheet and the script of our pages, inline so that a page works offline."""

from contract.theme import DARK, LIGHT, Theme


def build_style() -> str:
    """CSS for light and dark screens and for paper."""
    dark = _variables(DARK)
    return (
        f":root{{{_variables(LIGHT)}}}\n@media(prefers-color-scheme:dark){{:root{{{dark}}}}}{_CSS}"
    )


def _variables(theme: Theme) -> str:
    return (
        f"--surface:{theme.surface};--raised:{theme.raised};--line:{theme.line};"
        f"--text:{theme.text};--muted:{theme.muted};--wrong:{theme.train};"
        f"--accent:{theme.validation}"
    )


_CSS = """
:root{color-scheme:light dark}
*{box-sizing:border-box}
body{margin:0;background:var(--surface);color:var(--text);
  font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
main{max-width:1080px;margin:0 auto;padding:40px 24px 80px}
h1{font-size:28px;line-height:1.2;margin:0 0 6px;overflow-wrap:anywhere}
h2{font-size:18px;margin:52px 0 14px}
p{margin:0 0 12px;max-width:70ch}
.muted,figcaption{color:var(--muted)}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(190px,1fr));gap:12px;
  margin:26px 0 0}
.tile{background:var(--raised);border-radius:10px;padding:14px 18px}
.tile b{display:block;font-size:30px;line-height:1.25;font-weight:600;
  font-variant-numeric:tabular-nums}
.tile span{display:block;color:var(--muted);font-size:13px}
.tile .name{color:var(--text);font-weight:600}
figure{margin:0}
figure img{display:block;max-width:100%;height:auto}
.map{border:1px solid var(--line);border-radius:10px;padding:8px;overflow:auto}
.map img{margin:0 auto}
.zoom{overflow:auto;border:1px solid var(--line);border-radius:10px}
.zoom img{cursor:zoom-in;margin:0 auto}
.zoom.near{max-height:90vh}
.zoom.near img{max-width:none;cursor:zoom-out}
.scroll{overflow:auto;max-height:520px;border:1px solid var(--line);border-radius:10px}
table{border-collapse:collapse;width:100%;font-size:14px}
th,td{padding:6px 12px;text-align:left;border-bottom:1px solid var(--line);overflow-wrap:anywhere}
tr:last-child td,tr:last-child th{border-bottom:0}
thead th{position:sticky;top:0;background:var(--raised);white-space:nowrap}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
tbody th{font-weight:400;color:var(--muted);width:40%}
th button{all:unset;cursor:pointer;font-weight:600}
th button:focus-visible{outline:2px solid var(--accent);outline-offset:2px}
th[aria-sort=ascending] button::after{content:" \\2191"}
th[aria-sort=descending] button::after{content:" \\2193"}
.bar{display:inline-block;width:64px;height:8px;border-radius:4px;background:var(--line);
  margin-right:10px;overflow:hidden;vertical-align:1px}
.bar i{display:block;height:100%;background:var(--accent)}
.worst{display:grid;grid-template-columns:repeat(auto-fill,minmax(150px,1fr));gap:22px 16px}
.worst img,.worst .lost{width:100%;aspect-ratio:1;object-fit:cover;border-radius:8px;
  background:var(--raised)}
.worst .lost{display:flex;align-items:center;justify-content:center;color:var(--muted);
  font-size:13px}
.worst figcaption{font-size:13px;line-height:1.4;margin-top:8px;overflow-wrap:anywhere}
.worst b{display:block;color:var(--text);font-weight:600}
.worst .said{color:var(--wrong)}
.worst .right{color:var(--muted)}
.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(320px,1fr));gap:12px 24px;
  align-items:start}
td:first-child{min-width:9em}
.wide{overflow-x:auto}
.wide img{min-width:640px}
@media(max-width:640px){main{padding:24px 16px 60px}th,td{padding:6px 8px}.bar{display:none}}
@media print{main{max-width:none;padding:0}.scroll,.zoom{max-height:none;overflow:visible}
  h2{break-after:avoid}.worst figure,tr{break-inside:avoid}}
"""

# The sentences that a page opens with; the first one is the largest.
STORY_STYLE = """
.story{margin:18px 0 0}
.story p{margin:0 0 6px;font-size:16px}
.story p:first-child{font-size:19px;line-height:1.4;margin-bottom:10px}
"""

# Click a header: sort by it; click again: the other way round. Empty cells stay last.
SCRIPT = """
document.querySelectorAll('table.sortable th button').forEach(function(button){
  button.addEventListener('click',function(){
    var head=button.closest('th'),table=head.closest('table'),body=table.tBodies[0];
    var numeric=head.classList.contains('n');
    var was=head.getAttribute('aria-sort');
    var up=was?was!=='ascending':!numeric;
    table.querySelectorAll('th').forEach(function(other){other.removeAttribute('aria-sort')});
    head.setAttribute('aria-sort',up?'ascending':'descending');
    var rows=Array.prototype.slice.call(body.rows),sign=up?1:-1;
    function value(row){return row.cells[head.cellIndex].dataset.value}
    rows.sort(function(a,b){
      var x=value(a),y=value(b);
      if(x===''||y==='')return (x==='')-(y==='');
      return sign*(numeric?x-y:x.localeCompare(y,undefined,{numeric:true}));
    });
    rows.forEach(function(row){body.appendChild(row)});
  });
});
document.querySelectorAll('.zoom').forEach(function(box){
  box.addEventListener('click',function(){box.classList.toggle('near')});
});
"""
