"""Captions from everywhere: beside the video, in lists, in the video; whatever their encoding and markup."""

import json
import os
from fractions import Fraction

import av
import pytest
from av.subtitles.subtitle import SubtitleSet
from hypothesis import given, settings
from hypothesis import strategies as st

from vgm_jax.data.captions import Captions, Cue, find_captions, parse_subtitles

SRT = "1\n00:00:01,000 --> 00:00:02,500\nHallo <i>Welt</i>\n\n"
SRT += "2\n00:01:03,250 --> 00:01:04,000\nzwei &amp; drei\n"


@pytest.fixture
def film(tmp_path):
    """A path that is no film inside: only what is beside it counts."""
    path = tmp_path / "clips" / "film.mp4"
    path.parent.mkdir()
    path.write_bytes(b"no film")
    return path


def beside(film, suffix, content, encoding="utf-8"):
    path = film.with_name(film.stem + suffix)
    path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
    return path


def own(captions, film):
    """Problems but for the film's own, which cannot be read for subtitles."""
    return [(path, why) for path, why in captions.problems if path != str(film)]


# Beside the video


def test_a_text_is_the_caption_of_all(film):
    path = beside(film, ".txt", "A <b>red</b> ball\r\n  rolls away.\n")
    captions = find_captions(film)
    assert captions.text == "A red ball rolls away."
    assert captions.cues == () and captions.during(3, 4) == "A red ball rolls away."
    assert captions.files == ((str(path), "utf-8"),) and own(captions, film) == []


def test_cues_of_subrip_and_which_of_them_a_clip_hears(film):
    beside(film, ".srt", SRT)
    captions = find_captions(film)
    assert captions.cues == (Cue(1.0, 2.5, "Hallo Welt"), Cue(63.25, 64.0, "zwei & drei"))
    assert captions.during(0, 1) == "" and captions.during(2.5, 60) == "", "touching is not overlapping"
    assert captions.during(0, 1.01) == captions.during(2.4, 9) == "Hallo Welt"
    assert captions.during(2, 70) == "Hallo Welt zwei & drei"


def test_where_nothing_is_said_the_caption_of_all_speaks(film):
    beside(film, ".srt", SRT)
    beside(film, ".txt", "a greeting")
    captions = find_captions(film)
    assert [captions.during(*span) for span in [(0, 1), (1, 2), (5, 9)]] == [
        "a greeting",
        "Hallo Welt",
        "a greeting",
    ]


@pytest.mark.parametrize(
    "content, text, cues",
    [
        ({"caption": "a dog"}, "a dog", ()),
        ("a dog", "a dog", ()),
        ([{"start": 1, "end": "2.5", "text": "hi"}], "", (Cue(1, 2.5, "hi"),)),
        (
            {"caption": "c", "cues": [{"start": "0:01", "end": "1:02", "caption": "x"}]},
            "c",
            (Cue(1, 62, "x"),),
        ),
        ({"text": "all said", "segments": [{"start": 0, "end": 1, "text": " all"}]}, "", (Cue(0, 1, "all"),)),
        ({"text": "only this"}, "only this", ()),
    ],
)
def test_json(film, content, text, cues):
    beside(film, ".json", json.dumps(content))
    captions = find_captions(film)
    assert (captions.text, captions.cues) == (text, cues) and own(captions, film) == []


@pytest.mark.parametrize(
    "names, language, first",
    [
        ([".srt", ".en.srt"], "en", ".srt"),
        ([".de.srt", ".en.srt", ".fr.srt"], "en", ".en.srt"),
        ([".de.srt", ".en-GB.srt"], "en", ".en-GB.srt"),
        ([".deu.srt", ".eng.srt"], "en", ".eng.srt"),
        ([".eng.srt", ".ger.srt"], "de", ".ger.srt"),
        ([".de.srt", ".en.srt"], "de", ".de.srt"),
        ([".fr.srt", ".de.forced.srt"], "en", ".de.forced.srt"),
        ([".en.vtt", ".de.srt"], "en", ".de.srt"),
        ([".mp4.srt"], "en", ".mp4.srt"),
    ],
)
def test_of_several_languages_one_is_taken(film, names, language, first):
    for name in names:
        beside(film, name, f"1\n00:00:00,000 --> 00:00:01,000\n{name}\n")
    beside(film, ".part.srt", SRT)
    (film.parent / "film2.srt").write_text(SRT)
    captions = find_captions(film, language=language)
    assert [cue.text for cue in captions.cues] == [first]
    assert captions.files == ((str(film.with_name("film" + first)), "utf-8"),)


def test_a_caption_of_another_video_is_in_no_language(film):
    """film.up.txt says what film.up.mp4 shows, though "up" might be a language."""
    beside(film, ".up.txt", "it goes up")
    assert find_captions(film).text == "it goes up"
    film.with_name("film.up.json3").write_bytes(b"")  # of a downloader
    os.utime(film.parent, (8, 8))
    assert find_captions(film).text == "it goes up"
    film.with_name("film.up.mp4").write_bytes(b"no film")
    os.utime(film.parent, (9, 9))
    assert find_captions(film).text == ""
    assert find_captions(film.with_name("film.up.mp4")).text == "it goes up"


def test_a_folder_of_frames_has_captions_beside_it(tmp_path):
    (tmp_path / "shot.1").mkdir()
    (tmp_path / "shot.1.txt").write_text("a shot")
    assert find_captions(tmp_path / "shot.1").text == "a shot"


# Texts


@pytest.mark.parametrize(
    "encoding, named",
    [
        ("utf-8", "utf-8"),
        ("utf-8-sig", "utf-8-sig"),
        ("utf-16", "utf-16"),
        ("utf-16-le", "utf-16-le"),
        ("utf-16-be", "utf-16-be"),
        ("utf-32", "utf-32"),
        ("cp1252", "cp1252"),
    ],
)
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_encodings_and_line_ends(film, encoding, named, newline):
    content = SRT.replace("Hallo", "Grüße – “ja”,").replace("\n", newline)
    path = beside(film, ".srt", content, encoding)
    captions = find_captions(film)
    assert captions.cues[0].text == "Grüße – “ja”, Welt" and len(captions.cues) == 2
    assert captions.files == ((str(path), named),)


def test_latin_1_is_the_last_resort(film):
    path = beside(film, ".txt", b"caf\xe9 \x9d")
    assert find_captions(film).text == "café" and find_captions(film).files == ((str(path), "latin-1"),)


@pytest.mark.parametrize(
    "marked, plain",
    [
        ("<i>one</i> <font color='#fff'>two</font>", "one two"),
        (r"{\an8}up {\i1}there{\i0}", "up there"),
        (r"{\p1}m 0 0 l 1 1{\p0}said", "said"),
        ("<v Roger Bingham>We are <c.yellow.bg_blue>in</c> <00:00:01.500>New York", "We are in New York"),
        ("1 < 2 and 4 > 3", "1 < 2 and 4 > 3"),
        ("{laughs} a &lt;b&gt; &quot;c&quot; &nbsp; d &#39;e&#39;", "{laughs} a <b> \"c\" d 'e'"),
        ("\u200bzero\x07 width\ufeff", "zero width"),
    ],
)
def test_markup_is_stripped(marked, plain):
    cues, bad = parse_subtitles(f"1\n00:00:01,000 --> 00:00:02,000\n{marked}\n")
    assert [cue.text for cue in cues] == [plain] and bad == 0


def test_webvtt_with_all_it_may_hold():
    content = (
        "WEBVTT - title\nKind: captions\n\nSTYLE\n::cue { color: red }\n\nNOTE\nnot said\n\n"
        "intro\n00:01.000 --> 00:02.000 align:start position:0%\nfirst\nline\n\nNOTE not said\n\n"
        "7\n01:00:00.000 --> 01:00:01.500\nlast\n\nNOTE neither\n"
    )
    assert parse_subtitles(content) == ([Cue(1, 2, "first\nline"), Cue(3600, 3601.5, "last")], 0)


def test_subrip_as_it_is_found():
    content = (
        "1\n0:0:1,5 --> 0:0:2\nnumbers:\n42\n\n"
        "2\n00:00:03.000 --> 00:00:04.000  X1:1 X2:2\na\n\nblank line\n"
        "3\n00:00:05,000 --> 00:00:06,000\nno blank line before\n\n"
        "4\n00:00:09,000 --> 00:00:08,000\nbackwards\n\n"
        "5\n00:00:10,000 --> 00:00:11,000\n\n\n"
        "6\n00:00:12,000 --> 00:00:13,000\n1984"
    )
    cues, bad = parse_subtitles(content)
    assert [cue.text for cue in cues] == ["numbers:\n42", "a\nblank line", "no blank line before", "1984"]
    assert bad == 1 and cues[0] == Cue(1.5, 2.0, "numbers:\n42")


def test_subtitles_that_roll_up_say_each_line_once():
    cues = tuple(Cue(t, t + 1.5, text) for t, text in enumerate(["one", "one\ntwo", "two\nthree"]))
    assert Captions(cues=cues).during(0, 5) == "one two three"
    assert Captions(cues=cues).during(2.6, 3) == "two three"


words = st.text(
    st.characters(codec="utf-8", categories=("L", "N", "P", "S"), exclude_characters="<>{}&\\"),
    min_size=1,
    max_size=6,
)
lines = st.lists(words, min_size=1, max_size=4).map(" ".join).filter(lambda line: not line.isdecimal())
moments = st.integers(0, 10**7)  # milliseconds


@settings(deadline=None, max_examples=60)
@given(
    cues=st.lists(
        st.tuples(moments, st.integers(1, 10**5), st.lists(lines, min_size=1, max_size=3)), max_size=5
    ),
    web=st.booleans(),
    newline=st.sampled_from(["\n", "\r\n"]),
)
def test_what_is_written_is_read(tmp_path_factory, cues, web, newline):
    def stamp(ms):
        h, m, s = ms // 3_600_000, ms // 60_000 % 60, ms // 1000 % 60
        return f"{h:02}:{m:02}:{s:02}{'.' if web else ','}{ms % 1000:03}"

    blocks = ["WEBVTT"] if web else []
    for i, (start, length, text) in enumerate(cues, 1):
        blocks.append("\n".join([str(i), f"{stamp(start)} --> {stamp(start + length)}", *text]))
    folder = tmp_path_factory.mktemp("cues")
    path = folder / ("film.vtt" if web else "film.srt")
    path.write_text("\n\n".join(blocks) + "\n", encoding="utf-8", newline=newline)
    found = find_captions(folder / "film.mp4").cues
    expected = sorted((s, s + n, "\n".join(" ".join(line.split()) for line in text)) for s, n, text in cues)
    assert sorted((round(c.start * 1000), round(c.end * 1000), c.text) for c in found) == expected
    assert [cue.start for cue in found] == sorted(cue.start for cue in found)


@settings(deadline=None, max_examples=60)
@given(
    content=st.one_of(
        st.binary(max_size=200), st.text(max_size=200).map(lambda t: t.encode("utf-8", "replace"))
    )
)
def test_no_content_of_a_file_raises(tmp_path_factory, content):
    folder = tmp_path_factory.mktemp("any")
    for name in (
        "film.txt",
        "film.json",
        "film.srt",
        "film.vtt",
        "captions.csv",
        "metadata.jsonl",
        "film.mp4",
    ):
        (folder / name).write_bytes(content)
    captions = find_captions(folder / "film.mp4")
    assert all(path.startswith(str(folder)) and why for path, why in captions.problems)
    assert isinstance(captions.during(0, 1), str)


# Lists


def test_a_list_in_the_folder_or_above_it(film, tmp_path):
    path = tmp_path / "captions.csv"
    path.write_text('File,Caption,licence\nclips/film.mp4,"a cat, asleep",CC0\nother.mp4,a dog,CC0\n')
    assert find_captions(film).text == "", "above the folder only up to the root"
    captions = find_captions(film, root=tmp_path)
    assert captions.text == "a cat, asleep" and captions.files == ((str(path), "utf-8"),)
    (film.parent / "captions.csv").write_text("video;text\nfilm;a nearer cat\n")
    assert find_captions(film, root=tmp_path).text == "a nearer cat"
    assert find_captions(film.parent / "none.mp4", root=tmp_path).text == ""


@pytest.mark.parametrize(
    "name", ["clips/film.mp4", "./clips/film.mp4", "clips\\film.mp4", "clips/film", "film.mp4", "film"]
)
@pytest.mark.parametrize("column", ["file", "file_name", "video", "NAME", " path "])
def test_ways_to_name_a_video(film, tmp_path, name, column):
    (tmp_path / "metadata.jsonl").write_text(json.dumps({column: name, "text": "this one"}) + "\n\n")
    assert find_captions(film, root=tmp_path).text == "this one"


def test_a_list_may_have_whole_paths(film, tmp_path):
    other = {"file": str(film.parent / "elsewhere" / film.name), "text": "another"}
    rows = [other, {"file": str(film), "text": "this one"}]
    (tmp_path / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert find_captions(film, root=tmp_path).text == "this one"


def test_cues_in_a_list(film, tmp_path):
    (tmp_path / "captions.tsv").write_text(
        "name\tstart\tend\tcaption\n"
        "film\t65.5\t0:01:10\tlater\nfilm\t0\t2\tfirst\nfilm\t\t\tthe whole\nfilm\t3\t1\tbad\n"
    )
    captions = find_captions(film, root=tmp_path)
    assert captions.cues == (Cue(0, 2, "first"), Cue(65.5, 70, "later")) and captions.text == "the whole"


def test_what_collect_leaves(film):
    rows = [
        {
            "row": 1,
            "status": "collected",
            "file": "film.mp4",
            "caption": "collected",
            "licence": "CC0",
            "url": "u",
        },
        {"row": 2, "status": "failed", "file": None, "caption": "lost", "url": "v"},
    ]
    (film.parent / "collected.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert find_captions(film).text == "collected"
    beside(film, ".txt", "nearer")
    assert find_captions(film).text == "nearer"


# In the video

HEADER = b"[Script Info]\nScriptType: v4.00+\n\n[V4+ Styles]\nFormat: Name\nStyle: Default\n\n[Events]\n"
HEADER += b"Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\n"


def subtitled(path, codec, cues, starts=0.0):
    """A film of two seconds whose cues are (start, end, text in ASS), in file time; end None: not said.

    `cues` is one list or, in several languages, a dict of them.
    """
    cues = cues if isinstance(cues, dict) else {"und": cues}
    packets = []
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=10)
        video.width, video.height, video.pix_fmt = 32, 32, "yuv420p"
        video.codec_context.time_base = Fraction(1, 1000)
        streams = {language: container.add_stream(codec) for language in cues}
        for language, stream in streams.items():
            stream.metadata["language"] = language
            stream.codec_context.time_base = Fraction(1, 1000)
            stream.codec_context.subtitle_header = HEADER
        for t in range(20):
            picture = av.VideoFrame(32, 32, "yuv420p")
            picture.pts, picture.time_base = round(1000 * (starts + t / 10)), Fraction(1, 1000)
            packets += video.encode(picture)
        packets += video.encode()
        for language, stream in streams.items():
            for i, (start, end, text) in enumerate(cues[language]):
                length = round(1000 * (end - start)) if end else 0
                line = f"{i},0,Default,,0,0,0,,{text}".encode()
                shown = SubtitleSet.create(line, start=0, end=length, pts=round(1e6 * start))
                packet = stream.codec_context.encode_subtitle(shown)
                packet.stream, packet.time_base, packet.duration = stream, Fraction(1, 1000), length
                packet.pts = packet.dts = round(1000 * start)
                packets.append(packet)
        for packet in sorted(packets, key=lambda p: float(p.dts * p.time_base)):
            container.mux(packet)
    return path


@pytest.mark.parametrize(
    "name, codec", [("a.mkv", "subrip"), ("a.mkv", "ass"), ("a.mkv", "webvtt"), ("a.mp4", "mov_text")]
)
def test_subtitles_in_a_film(tmp_path, name, codec):
    said = [(0.25, 1.0, r"hello {\i1}you{\i0}\Nthere, both"), (1.5, 1.75, "Grüße, ja")]
    path = subtitled(tmp_path / name, codec, said)
    captions = find_captions(path)
    assert captions.cues == (Cue(0.25, 1.0, "hello you\nthere, both"), Cue(1.5, 1.75, "Grüße, ja"))
    assert captions.files == ((str(path), "embedded"),) and captions.problems == ()
    assert captions.during(0, 0.5) == "hello you there, both"
    beside(path, ".srt", SRT)
    assert find_captions(path).cues[0].text == "Hallo Welt", "what is beside it comes first"


def test_subtitles_in_a_film_count_from_its_first_picture(tmp_path):
    path = subtitled(tmp_path / "a.mkv", "ass", [(1.0, 1.5, "now")], starts=0.5)
    assert find_captions(path).cues == (Cue(0.5, 1.0, "now"),)


@pytest.mark.parametrize("language, said", [("en", "one"), ("de", "eins"), ("fr", "eins")])
def test_of_several_languages_in_a_film_one_is_taken(tmp_path, language, said):
    cues = {"ger": [(0.5, 1, "eins")], "eng": [(0.5, 1, "one")]}
    path = subtitled(tmp_path / "a.mkv", "subrip", cues)
    assert find_captions(path, language=language).cues == (Cue(0.5, 1.0, said),)


def test_a_cue_that_does_not_say_when_it_ends_stays_until_the_next(tmp_path):
    path = subtitled(tmp_path / "a.mkv", "subrip", [(0.25, None, "one"), (1.5, None, "two")])
    assert find_captions(path).cues == (Cue(0.25, 1.5, "one"), Cue(1.5, 6.5, "two"))


# What cannot be read


def test_json_of_other_things_is_no_bad_file(film):
    """Such as what a photo service says of each film, where nobody described it."""
    beside(film, ".json", '{"title": "IMG_1.MOV", "description": ""}')
    captions = find_captions(film)
    assert captions.text == "" and own(captions, film) == []


@pytest.mark.parametrize(
    "suffix, content, why",
    [
        (".json", b"{", "Expecting"),
        (".json", b"[" * 100_000, "recursion|Expecting"),
        (".json", b"7", "expected a caption"),
        (".json", b'[{"start": 5, "end": 1, "text": "x"}]', "1 cue.s. left out"),
        (".srt", b"", "no caption"),
        (".srt", b"1\n00:00:05,000 --> 00:00:01,000\nx\n", "1 cue.s. left out"),
        (".srt", b"\x00\x01\x02PNG" * 9, "not text"),
        (".txt", b"  \n", "no caption"),
        (".vtt", b"\xff\xfea", "not text in utf-16"),
    ],
)
def test_bad_files_are_listed(film, suffix, content, why):
    path = beside(film, suffix, content)
    problems = own(find_captions(film), film)
    assert [name for name, _ in problems] == [str(path)]
    with pytest.raises(ValueError, match=why):
        raise ValueError(problems[0][1])


def test_a_quotation_mark_that_is_not_closed_gives_no_wrong_caption(film):
    """Between commas it would take in all that follows; between tabs it is a mark as any other."""
    path = film.parent / "captions.csv"
    path.write_text('file,caption\nfilm.mp4,"a dog runs\nother.mp4,a cat sits\n')
    found = find_captions(film)
    assert found.text == "" and [name for name, _ in own(found, film)] == [str(path)]
    path.unlink()
    (film.parent / "captions.tsv").write_text('file\tcaption\nfilm.mp4\t"hello" he said\nother.mp4\ta cat\n')
    assert find_captions(film).text == '"hello" he said'


def test_bad_lists_pipes_and_links_are_listed(film):
    (film.parent / "captions.csv").write_text("this,that\n1,2\n")
    (film.parent / "metadata.csv").write_text("of,other,things\n1,2,3\n")
    (film.parent / "captions.jsonl").write_text('{"file": "film.mp4"\n')
    os.symlink(film.parent / "nowhere", film.parent / "film.txt")
    os.mkfifo(film.parent / "film.srt")
    problems = {os.path.basename(path): why for path, why in own(find_captions(film), film)}
    assert set(problems) == {"captions.csv", "captions.jsonl", "film.txt", "film.srt"}
    assert (
        "no row with one of file" in problems["captions.csv"]
        and "line 1: not JSON" in problems["captions.jsonl"]
    )
    assert problems["film.txt"] == "there is no such file" and problems["film.srt"] == "not a regular file"


def test_a_film_that_cannot_be_read_is_listed_once(film):
    assert [path for path, _ in find_captions(film).problems] == [str(film)]
    assert find_captions(film.parent / "missing.mp4").problems == ()
    assert find_captions(film.parent / "no" / "missing.mp4") == Captions(
        problems=find_captions(film.parent / "no" / "x.mp4").problems
    )
