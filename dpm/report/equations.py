"""Equations: LaTeX in, MathML out, so that a page typesets them without a script or a font of its own."""

from xml.etree import ElementTree

from latex2mathml.converter import convert
from markupsafe import Markup, escape

# fmt: off
ELEMENTS = frozenset([
    "math", "mrow", "mi", "mn", "mo", "mtext", "mspace", "msub", "msup", "msubsup", "munder", "mover", "munderover",
    "mfrac", "msqrt", "mroot", "mtable", "mtr", "mtd", "mstyle", "mpadded", "mphantom", "menclose",
])
ATTRIBUTES = frozenset([
    "display", "mathvariant", "stretchy", "fence", "form", "separator", "lspace", "rspace", "width", "height",
    "depth", "columnalign", "rowspacing", "columnspacing", "linethickness", "displaystyle", "scriptlevel", "accent",
    "movablelimits", "minsize", "maxsize", "notation",
])
# fmt: on
RELATIONS = {"~": "∼"}  # the converter makes \sim an identifier that sits on the baseline without space around it


def mathml(latex: str) -> Markup:
    r"""Typeset an equation as a block of MathML.

    The converter copies the inside of `\text{}` unescaped, so its result is parsed and only known elements and
    attributes are kept. What it cannot convert, or what holds anything else, is shown as its LaTeX source.
    """
    try:
        root = ElementTree.fromstring(convert(latex, display="block"))
        return Markup(ElementTree.tostring(cleaned(root), encoding="unicode"))
    except Exception:
        return Markup('<code class="latex">{}</code>').format(escape(latex))


def cleaned(element: ElementTree.Element) -> ElementTree.Element:
    """The same element without namespace and without attributes that are not on the list.

    Raises:
        ValueError: the element is not on the list.
    """
    tag = element.tag.rpartition("}")[2]
    if tag not in ELEMENTS:
        raise ValueError(f"{tag} is no MathML element dpm writes")
    text = element.text or ""
    if tag == "mi" and text in RELATIONS:
        tag, text = "mo", RELATIONS[text]
    attributes = {key: value for key, value in element.attrib.items() if key in ATTRIBUTES}
    copy = ElementTree.Element(tag, attributes)
    copy.text, copy.tail = text, element.tail
    copy.extend(cleaned(child) for child in element)
    return copy
