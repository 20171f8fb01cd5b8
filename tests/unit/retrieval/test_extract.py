"""The text of files: of every kind, of every page, and of none that has none."""

from __future__ import annotations

import io
import json
import zipfile

import docx
import pptx
import pytest
from pdf_writer import locked_pdf, pdf, scanned_pdf, write

from localassist.retrieval.extract.extractor import Extractor
from localassist.retrieval.extract.page import SECTION_CHARS, Page, UnreadableError

HELLO = "The harbour was enlarged in 1961."


@pytest.fixture
def extractor():
    extractor = Extractor()
    yield extractor
    extractor.close()


@pytest.fixture
def read(extractor, tmp_path):
    """Reads the pages of bytes under a name; the blob they are in has none."""

    def pages(name, data, **options):
        path = write(tmp_path / "blob", data)
        count, found = extractor.pages(path, name, **options)
        return count, list(found)

    return pages


@pytest.fixture
def text_of(read):
    def text(name, data):
        count, (page,) = read(name, data)
        assert (count, page.number) == (1, -1)
        return page.text

    return text


@pytest.fixture
def refused(read):
    """The code and the message with which a file is refused."""

    def error(name, data):
        with pytest.raises(UnreadableError) as caught:
            read(name, data)
        return caught.value.code, caught.value.message

    return error


def saved(document):
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


def word_document(*paragraphs):
    document = docx.Document()
    for each in paragraphs:
        document.add_paragraph(each)
    return document


# --- kinds ---


def test_pages_of_a_pdf_have_their_numbers(read):
    texts = [f"{HELLO} (page {i}) \\ ü" for i in range(1, 4)]
    assert read("a.pdf", pdf(texts)) == (3, [Page(i, texts[i - 1]) for i in (1, 2, 3)])
    assert read("a.pdf", pdf(texts), start=3) == (3, [Page(3, texts[2])])


def test_a_page_without_text_keeps_its_number(read):
    texts = [HELLO, "", HELLO]
    count, pages = read("a.pdf", pdf(texts))
    assert (count, [page.number for page in pages]) == (3, [1, 2, 3])
    assert [page.text for page in pages] == texts


def test_a_pdf_is_known_by_its_bytes(read):
    count, (page,) = read("a.txt", b"junk before\n" + pdf([HELLO]))
    assert (count, page) == (1, Page(1, HELLO))


def test_a_pdf_with_an_empty_password_is_read(read):
    assert read("a.pdf", locked_pdf([HELLO], password="")) == (1, [Page(1, HELLO)])


def test_a_word_document_has_its_paragraphs_and_tables_in_order(text_of):
    document = word_document("Before the table.")
    table = document.add_table(rows=2, cols=2)
    for at, text in enumerate(("Year", "Ships", "1961", "40")):
        table.cell(at // 2, at % 2).text = text
    document.add_paragraph("After it.")
    text = text_of("a.docx", saved(document))
    assert text == "Before the table.\nYear | Ships\n1961 | 40\nAfter it."


def test_each_slide_is_a_page_with_its_notes(read):
    deck = pptx.Presentation()
    for number in (1, 2):
        slide = deck.slides.add_slide(deck.slide_layouts[5])
        slide.shapes.title.text = f"Slide {number} about the harbour"
        slide.notes_slide.notes_text_frame.text = f"Say {number}."
    found = [Page(n, f"Slide {n} about the harbour\nSay {n}.") for n in (1, 2)]
    assert read("a.pptx", saved(deck)) == (2, found)
    assert read("a.pptx", saved(deck), start=2) == (2, found[1:])


def test_html_is_what_it_shows(text_of):
    page = f"<html><head><style>p {{}}</style><script>alert(1)</script></head><body><h1>Port</h1>\
<p>{HELLO}</p><template>hidden</template><p>&lt;b&gt; &amp; more</p></body></html>"
    assert text_of("a.html", page.encode()) == f"Port\n{HELLO}\n<b> & more"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.md", "# Port\n\n- one\n- two\n"),
        ("a.csv", "year,ships\n1961,40\n"),
        ("a.json", json.dumps({"year": 1961, "of": ["ships"]})),
        ("a.py", "def port(year):\n    return year > 1961\n"),
        ("a", HELLO),
        ("a.unheard-of", HELLO),
    ],
)
def test_text_is_text_whatever_its_name(text_of, name, text):
    # White space within a line says nothing to a search.
    assert text_of(name, text.encode()) == text.replace("    ", " ")


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"]
)
def test_text_in_any_of_the_usual_encodings(text_of, encoding):
    text = "The café of “Åker Brygge” costs 5 €, or it did."
    assert text_of("a.txt", text.encode(encoding)) == text


def test_mixed_encodings_lose_only_what_is_wrong(text_of):
    data = ("ő is fine. " * 20).encode() + b"\x81 is not. " + b"All is well. " * 20
    text = text_of("a.txt", data)
    assert text.count("\ufffd") == 1
    assert text.count("ő is fine.") == text.count("All is well.") == 20


def test_long_text_comes_in_sections_that_are_all_of_it(read):
    text = "".join(f"Line {i} of the harbour's log.\n" for i in range(4000))
    count, pages = read("a.txt", text.encode())
    assert [page.number for page in pages] == [-i for i in range(1, count + 1)]
    assert "".join(page.text for page in pages) == text
    assert all(len(page.text) <= SECTION_CHARS for page in pages)
    assert all(page.text.endswith("\n") for page in pages)
    assert read("a.txt", text.encode(), start=2) == (count, pages[1:])


# --- what print and machines leave in a text ---


def test_words_that_a_line_broke_are_whole(text_of, read):
    assert text_of("a.txt", b"an ef-\nfort of 2020-\n2021, by Anne-\nMarie") == (
        "an effort of 2020-\n2021, by Anne-\nMarie"
    )
    _, (page,) = read("a.pdf", pdf(["The infor-\nmation was read by all of us."]))
    assert page.text.startswith("The information was read")


def test_ligatures_are_letters(text_of):
    assert text_of("a.txt", "eﬃcient ﬁles ﬂow".encode()) == "efficient files flow"


def test_control_characters_are_left_out(text_of):
    assert text_of("a.txt", b"har\0bour \x07and\r\nquay" + b" of granite" * 20) == (
        "harbour and\nquay" + " of granite" * 20
    )


def test_text_from_right_to_left_is_kept(text_of):
    text = "הנמל הורחב בשנת 1961. تم توسيع الميناء."
    assert text_of("a.txt", text.encode()) == text


# --- bad files ---

MALFORMED = "malformed: "


@pytest.mark.parametrize(
    ("name", "data", "code", "start"),
    [
        ("a.txt", b"", "invalid_file", "empty: "),
        ("a.pdf", b"", "invalid_file", "empty: "),
        ("a.pdf", HELLO.encode(), "invalid_file", MALFORMED),
        ("a.docx", HELLO.encode(), "invalid_file", MALFORMED),
        ("a.pptx", b"PK\x03\x04 and no archive", "invalid_file", MALFORMED),
        ("a.docx", saved(word_document(HELLO))[:3000], "invalid_file", MALFORMED),
        ("a.pdf", pdf([]), "invalid_file", "no_text: "),
        ("a.pdf", pdf([HELLO])[:200], "invalid_file", MALFORMED),
        ("a.pdf", locked_pdf([HELLO], password="p"), "invalid_file", "encrypted: "),
        ("a.pdf", scanned_pdf(2), "invalid_file", "no_text: "),
        ("a.docx", saved(docx.Document()), "invalid_file", "no_text: "),
        ("a.png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "unsupported_file", "unsupported: "),
        ("a.txt", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "unsupported_file", "unsupported: "),
        ("a.pdf", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "invalid_file", MALFORMED),
        ("a.bin", bytes(range(256)) * 20, "unsupported_file", "unsupported: "),
        ("a.doc", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "unsupported_file", "unsupported: "),
    ],
)
def test_a_file_without_text_is_refused_with_a_sentence(refused, name, data, code, start):
    found, message = refused(name, data)
    assert (found, message[: len(start)]) == (code, start)
    assert message[len(start)].isupper()
    assert message.endswith(".")


def test_an_archive_is_no_document(refused):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a.txt", HELLO)
    code, message = refused("a.zip", out.getvalue())
    assert (code, "an archive" in message) == ("unsupported_file", True)


@pytest.mark.parametrize("name", ["a.docx", "a.pptx"])
def test_a_bomb_is_not_unpacked(refused, name):
    out = io.BytesIO()
    inside = {"a.docx": "word/document.xml", "a.pptx": "ppt/presentation.xml"}[name]
    with (
        zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open(inside, "w") as member,
    ):
        for _ in range(310):
            member.write(bytes(1_000_000))
    assert len(out.getvalue()) < 1_000_000
    code, message = refused(name, out.getvalue())
    assert (code, message.partition(":")[0]) == ("invalid_file", "too_large")


def test_a_scan_with_a_stamp_is_a_scan(refused):
    code, message = refused("a.pdf", pdf(["(c) 1961", *[""] * 30]))
    assert (code, "OCR" in message) == ("invalid_file", True)


def test_a_name_of_a_thousand_characters(read):
    assert read("n" * 1000 + ".pdf", pdf([HELLO])) == (1, [Page(1, HELLO)])


def test_ten_thousand_pages_are_read(read):
    count, found = read("long.pdf", pdf([f"Ship number {n} is here." for n in range(10_000)]))
    assert (count, len(found)) == (10_000, 10_000)
    assert found[0] == Page(1, "Ship number 0 is here.")
    assert found[-1] == Page(10_000, "Ship number 9999 is here.")
