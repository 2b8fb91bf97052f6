//! Bytes: which may stand where (RFC 9110 section 5), and where one stands.

/// A set of bytes, as a table: a head has hundreds to ask about.
pub(crate) struct ByteSet([bool; 256]);

impl ByteSet {
    /// Letters, digits, and these.
    pub(crate) const fn alphanumeric_and(others: &[u8]) -> ByteSet {
        let mut is_in = [false; 256];
        let mut byte = u8::MAX;
        while byte > 0 {
            is_in[byte as usize] = byte.is_ascii_alphanumeric();
            byte -= 1;
        }
        let mut at = 0;
        while at < others.len() {
            is_in[others[at] as usize] = true;
            at += 1;
        }
        ByteSet(is_in)
    }

    pub(crate) fn has(&self, byte: u8) -> bool {
        self.0[usize::from(byte)]
    }
}

/// ```text
/// tchar = "!" / "#" / "$" / "%" / "&" / "'" / "*" / "+" / "-" / "." /
///         "^" / "_" / "`" / "|" / "~" / DIGIT / ALPHA
/// ```
static TOKEN: ByteSet = ByteSet::alphanumeric_and(b"!#$%&'*+-.^_`|~");

/// Whether an byte may stand in a token.
pub(crate) fn is_tchar(byte: u8) -> bool {
    TOKEN.has(byte)
}

/// Whether an byte may stand in a value: no control character but HTAB.
pub(crate) fn is_field_value_byte(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

/// A line that may have a CR, but no LF, at its end, without it.
pub(crate) fn strip_cr(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// What stands behind blanks that may be there.
pub(crate) fn skip_ows(bytes: &[u8]) -> &[u8] {
    let blanks = bytes.iter().take_while(|byte| b" \t".contains(byte)).count();
    &bytes[blanks..]
}

/// What stands behind the token that `bytes` begin with.
pub(crate) fn skip_token(bytes: &[u8]) -> Option<&[u8]> {
    let length = bytes.iter().take_while(|&&byte| is_tchar(byte)).count();
    bytes.get(length..).filter(|_| length > 0)
}

/// What stands behind the quoted string that `bytes` begin with.
pub(crate) fn skip_quoted_string(bytes: &[u8]) -> Option<&[u8]> {
    let mut rest = bytes.strip_prefix(b"\"")?;
    loop {
        rest = match rest {
            [b'"', behind @ ..] => return Some(behind),
            [b'\\', escaped, behind @ ..] if is_field_value_byte(*escaped) => behind,
            [byte, behind @ ..] if is_field_value_byte(*byte) => behind,
            _ => return None,
        };
    }
}

/// Where an byte stands first.
pub(crate) fn position(bytes: &[u8], byte: u8) -> Option<usize> {
    // To ask sixteen at once whether it is among them costs about as much as to ask one.
    let found = |any, &one: &u8| any | u8::from(one == byte);
    let is_without = |chunk: &&[u8; 16]| chunk.iter().fold(0, found) == 0;
    let without = bytes.as_chunks().0.iter().take_while(is_without).count();
    let (_, rest) = bytes.split_at(without * 16);
    rest.iter().position(|&one| one == byte).map(|at| without * 16 + at)
}

/// What stands between bytes of one kind.
pub(crate) fn split(bytes: &[u8], between: u8) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(bytes);
    std::iter::from_fn(move || {
        let bytes = rest?;
        let end = position(bytes, between);
        rest = end.map(|end| &bytes[end + 1..]);
        Some(&bytes[..end.unwrap_or(bytes.len())])
    })
}
