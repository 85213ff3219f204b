//! Netlink attributes by hand: a message that one field spoils must still give all others, and VF
//! lists of large PFs carry a length that wrapped (see [`super::link`]).

/// One attribute.
#[derive(Debug, Clone, Copy)]
pub struct Attr<'a> {
    /// Number without the "nested" and "byte order" flags.
    pub kind: u16,
    /// Payload.
    pub value: &'a [u8],
}

/// The attributes of a buffer; ends at the first that does not fit.
#[derive(Debug, Clone)]
pub struct Attrs<'a> {
    rest: &'a [u8],
}

/// Size of `struct nlattr`.
pub const HEADER: usize = 4;

/// Rounds up to `NLA_ALIGNTO`.
pub fn align(length: usize) -> usize {
    length.next_multiple_of(4)
}

/// Length and kind of the attribute that starts the buffer.
pub fn header(bytes: &[u8]) -> Option<(usize, u16)> {
    let [l0, l1, k0, k1] = *bytes.first_chunk()?;
    let kind = u16::from_ne_bytes([k0, k1]) & 0x3fff; // NLA_TYPE_MASK
    Some((usize::from(u16::from_ne_bytes([l0, l1])), kind))
}

impl<'a> Attrs<'a> {
    /// The attributes in `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The first attribute of a kind.
    pub fn find(&self, kind: u16) -> Option<Attr<'a>> {
        Iterator::find(&mut self.clone(), |attr| attr.kind == kind)
    }
}

impl<'a> Iterator for Attrs<'a> {
    type Item = Attr<'a>;

    fn next(&mut self) -> Option<Attr<'a>> {
        let (length, kind) = header(self.rest)?;
        let value = self.rest.get(HEADER..length)?;
        self.rest = self.rest.get(align(length)..).unwrap_or_default();
        Some(Attr { kind, value })
    }
}

impl<'a> Attr<'a> {
    /// The attributes nested in it.
    pub fn nested(self) -> Attrs<'a> {
        Attrs::new(self.value)
    }

    /// Its first byte.
    pub fn u8(self) -> Option<u8> {
        self.value.first().copied()
    }

    /// The 16-bit number at `offset`.
    pub fn u16_at(self, offset: usize) -> Option<u16> {
        self.value.get(offset..)?.first_chunk().copied().map(u16::from_ne_bytes)
    }

    /// The 32-bit number at `offset`.
    pub fn u32_at(self, offset: usize) -> Option<u32> {
        self.value.get(offset..)?.first_chunk().copied().map(u32::from_ne_bytes)
    }

    /// The 64-bit number at `offset`.
    pub fn u64_at(self, offset: usize) -> Option<u64> {
        self.value.get(offset..)?.first_chunk().copied().map(u64::from_ne_bytes)
    }

    /// The 32-bit number it consists of.
    pub fn u32(self) -> Option<u32> {
        self.u32_at(0)
    }

    /// Its text up to the terminating zero, with bytes that are not UTF-8 replaced.
    pub fn text(self) -> String {
        let end = self.value.iter().position(|b| *b == 0).unwrap_or(self.value.len());
        String::from_utf8_lossy(&self.value[..end]).into_owned()
    }
}
