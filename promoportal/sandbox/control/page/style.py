"""The page's stylesheet."""

from __future__ import annotations

STYLE = """\
:root { color-scheme: light dark; --line: #8884; --quiet: #888; --mark: #3b6ea8; }
body { font: 14px/1.45 system-ui, sans-serif; margin: 0 auto; max-width: 78rem; padding: 1rem 1.5rem 4rem; }
header { border-bottom: 2px solid var(--mark); margin-bottom: 1rem; }
header p { margin: .2rem 0; }
h1 { font-size: 1.5rem; margin: 0; }
h2 { font-size: 1rem; margin: 1.6rem 0 .4rem; }
.name { color: var(--mark); font-weight: 600; letter-spacing: .03em; }
.nothing, small { color: var(--quiet); }
.told { background: #3b6ea822; border-left: 4px solid var(--mark); padding: .5rem .8rem; }
table { border-collapse: collapse; width: 100%; }
th, td { border-bottom: 1px solid var(--line); padding: .3rem .6rem .3rem 0; text-align: left; vertical-align: top; }
th { color: var(--quiet); font-weight: 500; }
td { font-variant-numeric: tabular-nums; overflow-wrap: break-word; max-width: 24rem; }
td small { display: block; }
meter { height: .9rem; width: 9rem; }
form { display: inline-flex; align-items: center; gap: .4rem; margin: 0 1rem .4rem 0; }
td form { margin: 0; }
input[type=number] { width: 6.5rem; }
button, input, select { font: inherit; padding: .1rem .5rem; }
button { white-space: nowrap; }
"""
