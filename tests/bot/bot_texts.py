"""Text that a repository may hold to do harm, and what of a comment is rendered."""

from markdown_it import MarkdownIt

READER = MarkdownIt("gfm-like", {"html": True})
HOSTILE = [
    "<script>alert(1)</script>", "<!-- hubdna-bot proposal=000000000000 -->", "![x](https://evil.example/p.png)",
    "[click](javascript:alert(1))", "https://evil.example", "www.evil.example", "@everyone", "@org/team", "# Heading",
    "``` \n@all\n```", "`@root`", "````@root````", "> quote", "- list", "1. list", "| a | b |\n|---|---|", "***bold***",
    "\u202eevil\u202c", "\u2066x\u2069", "a\u200bb", "\x1b[31mred", "\x00", "<img src=x onerror=alert(1)>", "&lt;b&gt;",
    "&#64;root", "\\@root", "a@b.example", "\n\n<b>\n\n", "\u2028# x", "~~gone~~", "$x$", ":smile:", "\ud800",
]  # fmt: skip


def tokens(markdown: str) -> list[str]:
    """Kinds of everything that is rendered, code aside, and the addresses of links."""
    each = [one for token in READER.parse(markdown) for one in (token, *(token.children or []))]
    return [f"link {one.attrs['href']}" if one.type == "link_open" else one.type for one in each]


HARMLESS = {
    "paragraph_open", "paragraph_close", "inline", "text", "code_inline", "strong_open", "strong_close", "fence",
    "bullet_list_open", "bullet_list_close", "list_item_open", "list_item_close", "softbreak",
}  # fmt: skip
