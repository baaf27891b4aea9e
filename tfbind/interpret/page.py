"""One HTML page on the filters of a network, with all its pictures inside."""

from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from html import escape
from io import BytesIO
from string import Template

from tfbind.interpret.filter_pictures import Beside, draw_filters
from tfbind.interpret.learnt import Learnt
from tfbind.interpret.matches import Match

PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>$title</title>
<style>
body { font: 14px/1.45 sans-serif; margin: 2em auto; max-width: 1240px; padding: 0 1em; }
h1 { font-size: 1.4em; }
h2 { font-size: 1.15em; margin-top: 2em; }
img { display: block; width: 100%; max-width: 1200px; }
table { border-collapse: collapse; }
th, td { padding: .2em .5em; border-bottom: 1px solid #ddd; text-align: right; }
td { white-space: nowrap; }
th:first-child, td:first-child, td.name { text-align: left; }
</style>
</head>
<body>
<h1>$title</h1>
<p>$explained</p>
<h2>Filters, the most influential first</h2>
<table>
<tr>$head</tr>
$rows
</table>
<h2>Logos</h2>
<p>Left: the positive weights. Middle: bases at the filter's best places in bound bins, in bits.
Right: the known motif that the middle is most like, as it is aligned.</p>
$pictures
$beside
</body>
</html>
""")

HEAD = (
    "filter",
    "influence",
    "sites",
    "bits",
    "in bound bins",
    "in others",
    "sites are like",
    "p",
    "q",
    "weights are like",
    "p",
    "q",
)


def page(
    learnt: Sequence[Learnt],
    beside: Beside,
    *,
    title: str,
    explained: str,
    least: int,
    other: str,
    advance: Callable[[float], None],
) -> str:
    """Write the page.

    Parameters
    ----------
    learnt : sequence of Learnt
        In the order of the page.
    beside : sequence of (Motif, Match or None, Match or None)
        As `draw_filters` takes them.
    title : str
        Model, output and data.
    explained : str
        What was measured, and how.
    least : int
        Sites that a logo is made from, at least.
    other : str
        Where the motifs of `beside` are from.
    advance : callable
        Told of each picture.

    Returns
    -------
    str
        HTML, whole, with pictures as PNG in it.
    """

    def picture(some: Sequence[Learnt], motifs: Beside, alone: str) -> str:
        stream = BytesIO()
        draw_filters(some, motifs, stream, kind="png", title="", least=least, other=other)
        advance(1)
        text = b64encode(stream.getvalue()).decode()
        return f'<img alt="logos of {escape(alone)}" src="data:image/png;base64,{text}">'

    pictures = [picture([one], [], one.name) for one in learnt]
    others = [picture([], [one], one[0].title) for one in beside]
    return PAGE.substitute(
        title=escape(title),
        explained=escape(explained),
        head="".join(f"<th>{escape(one)}</th>" for one in HEAD),
        rows="\n".join(_row(one, least) for one in learnt),
        pictures="\n".join(pictures),
        beside=_beside(beside, others, other),
    )


def _row(one: Learnt, least: int) -> str:
    bits = f"{one.bits:.1f}" if one.sites.count >= least else ""
    cells = [one.name, f"{one.influence:+.4f}", f"{one.sites.count:,}", bits]
    shares = (one.sites.bound, one.sites.unbound)
    cells += ["" if share != share else f"{share:.1%}" for share in shares]
    cells += [*_cells(one.by_sites), *_cells(one.by_weights)]
    return _cells_row(cells)


def _cells(match: Match | None) -> Iterator[str]:
    if match is None:
        yield from ("", "", "")
        return
    yield f"{match.motif.title} ({match.strand})"
    yield f"{match.pvalue:.1e}"
    yield f"{match.qvalue:.1e}"


def _cells_row(cells: Sequence[str]) -> str:
    return "<tr>" + "".join(f"<td>{escape(one)}</td>" for one in cells) + "</tr>"


def _beside(beside: Beside, pictures: Sequence[str], other: str) -> str:
    """Set the motifs that were found otherwise beside the filters."""
    if not beside:
        return ""
    head = ("motif", "filter most like it", "p", "q", "known motif most like it", "p", "q")
    rows = [_cells_row([one.title, *_cells(near), *_cells(known)]) for one, near, known in beside]
    return "\n".join(
        [
            f"<h2>Motifs of {escape(other)}</h2>",
            "<table>",
            "<tr>" + "".join(f"<th>{escape(one)}</th>" for one in head) + "</tr>",
            *rows,
            "</table>",
            "<p>Left: the motif. Middle: the sites of the filter most like it. Right: the known "
            "motif most like it.</p>",
            *pictures,
        ]
    )
