//! JSON of lists, records and bindings: indented or in one line, and with nothing in it that steers a terminal.
//!
//! serde_json's writers are generic over where they write to and how it is laid out, and each of these is compiled again for
//! every type of document. Here is one for both, that passes a document on in pieces, so that a long one is never in memory
//! whole. (Answers to runtimes and other plugins' files are values that print themselves.)

use std::io::{self, Write};

use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::Formatter;

use super::text::printable_json;

/// Bytes that are gathered before they are passed on.
const PIECE: usize = 64 << 10;
/// For how many there is room at first: most documents are short.
const LEAST: usize = 1 << 10;

/// Writes a document and a line feed.
pub fn write(out: &mut dyn Write, document: &(impl Serialize + ?Sized)) -> io::Result<()> {
    write_as(Layout { is_indented: true, ..Layout::default() }, out, document)
}

/// Writes a document in one line.
pub fn write_line(out: &mut dyn Write, document: &(impl Serialize + ?Sized)) -> io::Result<()> {
    write_as(Layout::default(), out, document)
}

fn write_as(
    layout: Layout,
    out: &mut dyn Write,
    document: &(impl Serialize + ?Sized),
) -> io::Result<()> {
    let mut text = Text { out, piece: Vec::new(), filled: 0 };
    document.serialize(&mut Serializer::with_formatter(&mut text, layout))?;
    text.write_all(b"\n")?;
    text.pass_on()
}

/// As [`write`], in memory.
pub fn text(document: &(impl Serialize + ?Sized)) -> io::Result<String> {
    let mut all = Vec::new();
    write(&mut all, document)?;
    String::from_utf8(all).map_err(io::Error::other)
}

/// What was written and not passed on yet is the first `filled` bytes of the piece. Not a growing `Vec`, whose way from one
/// small piece of text to the next is three times as long: a document is a million of them.
struct Text<'a> {
    out: &'a mut dyn Write,
    piece: Vec<u8>,
    filled: usize,
}

impl Text<'_> {
    /// Whole lines, as standard output wants them: it would keep what follows the last, and write it by itself.
    fn pass_on(&mut self) -> io::Result<()> {
        let filled = &self.piece[..self.filled];
        let end = filled.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        let text = str::from_utf8(&filled[..end]).map_err(io::Error::other)?;
        self.out.write_all(printable_json(text).as_bytes())?;
        self.piece.copy_within(end..self.filled, 0);
        self.filled -= end;
        Ok(())
    }

    fn make_room(&mut self, length: usize) -> io::Result<()> {
        if self.filled + length > PIECE {
            self.pass_on()?;
        }
        let needed = self.filled + length;
        if needed > self.piece.len() {
            self.piece.resize(needed.max(2 * self.piece.len()).max(LEAST), 0);
        }
        Ok(())
    }
}

impl Write for Text<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let end = self.filled + bytes.len();
        if end > self.piece.len() {
            self.make_room(bytes.len())?;
            return self.write_all(bytes);
        }
        self.piece[self.filled..end].copy_from_slice(bytes);
        self.filled = end;
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Where the lines begin: two spaces for each level, as [`serde_json::ser::PrettyFormatter`], which writes them one by one;
/// or nowhere.
#[derive(Default)]
struct Layout {
    is_indented: bool,
    depth: usize,
    /// Whether what ends now has anything in it.
    is_filled: bool,
}

/// What stands before a member or an element: deeper ones than this are indented no further.
const LINE: &[u8] = b",\n                                        ";

impl Layout {
    fn begin<W: Write + ?Sized>(&mut self, out: &mut W, bracket: &[u8]) -> io::Result<()> {
        self.depth += 1;
        self.is_filled = false;
        out.write_all(bracket)
    }

    fn end<W: Write + ?Sized>(&mut self, out: &mut W, bracket: &[u8]) -> io::Result<()> {
        self.depth -= 1;
        if self.is_filled {
            self.line(out, true)?;
        }
        out.write_all(bracket)
    }

    fn line<W: Write + ?Sized>(&self, out: &mut W, is_first: bool) -> io::Result<()> {
        let end = if self.is_indented { LINE.len().min(2 + 2 * self.depth) } else { 1 };
        out.write_all(&LINE[usize::from(is_first)..end])
    }
}

impl Formatter for Layout {
    fn begin_array<W: Write + ?Sized>(&mut self, out: &mut W) -> io::Result<()> {
        self.begin(out, b"[")
    }

    fn end_array<W: Write + ?Sized>(&mut self, out: &mut W) -> io::Result<()> {
        self.end(out, b"]")
    }

    fn begin_array_value<W: Write + ?Sized>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        self.line(out, first)
    }

    fn end_array_value<W: Write + ?Sized>(&mut self, _: &mut W) -> io::Result<()> {
        self.is_filled = true;
        Ok(())
    }

    fn begin_object<W: Write + ?Sized>(&mut self, out: &mut W) -> io::Result<()> {
        self.begin(out, b"{")
    }

    fn end_object<W: Write + ?Sized>(&mut self, out: &mut W) -> io::Result<()> {
        self.end(out, b"}")
    }

    fn begin_object_key<W: Write + ?Sized>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        self.line(out, first)
    }

    fn begin_object_value<W: Write + ?Sized>(&mut self, out: &mut W) -> io::Result<()> {
        out.write_all(if self.is_indented { b": " } else { b":" })
    }

    fn end_object_value<W: Write + ?Sized>(&mut self, _: &mut W) -> io::Result<()> {
        self.is_filled = true;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn it_is_what_serde_json_would_write() {
        // As deep as there are spaces for.
        let deep = (0..19).fold(json!([1]), |inner, nth| json!({ format!("level {nth}"): inner }));
        for document in [
            json!(null),
            json!([]),
            json!({}),
            json!([[], {}, [[]], {"a": {}}]),
            json!({"a": 1, "b": [true, null, -1.5, "x\n\"\\"], "c": {"d": [{"e": "δ"}, {"f": []}]}}),
            deep,
        ] {
            assert_eq!(text(&document).unwrap(), format!("{document:#}\n"));
            let mut line = Vec::new();
            write_line(&mut line, &document).unwrap();
            assert_eq!(String::from_utf8(line).unwrap(), format!("{document}\n"));
        }
    }

    #[test]
    fn what_is_deeper_than_there_are_spaces_for_is_the_same_document() {
        let deep = (0..100).fold(json!("core"), |inner, _| json!([inner, { "and": 1 }]));
        let text = text(&deep).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), deep);
    }

    #[test]
    fn a_long_document_is_passed_on_in_pieces_of_whole_lines() {
        struct Pieces(Vec<Vec<u8>>);
        impl Write for Pieces {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.push(bytes.to_vec());
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let document: Vec<String> = (0..30_000).map(|nth| format!("δ\u{202e}{nth}")).collect();
        let mut out = Pieces(Vec::new());
        write(&mut out, &document).unwrap();
        assert!(out.0.len() > 5, "{} pieces", out.0.len());
        assert!(out.0.iter().all(|piece| piece.ends_with(b"\n") && piece.len() < 3 * PIECE));
        let all = out.0.concat();
        assert_eq!(serde_json::from_slice::<Vec<String>>(&all).unwrap(), document);
        assert!(!String::from_utf8(all).unwrap().contains('\u{202e}'));
    }

    #[test]
    fn a_reader_that_has_gone_is_an_error_of_that_kind() {
        struct Gone;
        impl Write for Gone {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        for document in [json!(1), json!(vec!["x"; 100_000])] {
            let error = write(&mut Gone, &document).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        }
    }
}
