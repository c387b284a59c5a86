"""The document that a chat is given."""

import re

from reconciler.frontends.browser.app_document import app_document


def test_the_document_names_no_other_file_and_no_network() -> None:
    document = app_document()
    assert document.startswith("<!doctype html>")
    assert not re.search(
        r"<link|\bsrc=|url\(\s*[^#]|@import|fetch\(|WebSocket|XMLHttpRequest|https?://(?!www\.w3\.org/)", document
    )
    assert not re.search(r"^(import|export)\b", document, re.MULTILINE)
    assert document.count("<script") == document.count("</script>") == 1
    assert document.count("<style") == document.count("</style>") == 2
