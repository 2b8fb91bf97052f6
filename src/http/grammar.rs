//! Octets: which may stand where (RFC 9110 section 5), and where one stands.

/// A set of octets, as a table: a head has hundreds to ask about.
pub(crate) struct ByteSet([bool; 256]);

impl ByteSet {
    /// Letters, digits, and these.
    pub(crate) const fn alphanumeric_and(others: &[u8]) -> ByteSet {
        let mut is_in = [false; 256];
        let mut octet = u8::MAX;
        while octet > 0 {
            is_in[octet as usize] = octet.is_ascii_alphanumeric();
            octet -= 1;
        }
        let mut at = 0;
        while at < others.len() {
            is_in[others[at] as usize] = true;
            at += 1;
        }
        ByteSet(is_in)
    }

    pub(crate) fn has(&self, octet: u8) -> bool {
        self.0[usize::from(octet)]
    }
}

/// ```text
/// tchar = "!" / "#" / "$" / "%" / "&" / "'" / "*" / "+" / "-" / "." /
///         "^" / "_" / "`" / "|" / "~" / DIGIT / ALPHA
/// ```
static TOKEN: ByteSet = ByteSet::alphanumeric_and(b"!#$%&'*+-.^_`|~");

/// Whether an octet may stand in a token.
pub(crate) fn is_tchar(octet: u8) -> bool {
    TOKEN.has(octet)
}

/// Whether an octet may stand in a value: no control character but HTAB.
pub(crate) fn is_field_value_byte(octet: u8) -> bool {
    octet == b'\t' || (octet >= b' ' && octet != 0x7f)
}

/// A line that may have a CR, but no LF, at its end, without it.
pub(crate) fn strip_cr(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// What stands behind blanks that may be there.
pub(crate) fn skip_ows(octets: &[u8]) -> &[u8] {
    let blanks = octets.iter().take_while(|octet| b" \t".contains(octet)).count();
    &octets[blanks..]
}

/// What stands behind the token that `octets` begin with.
pub(crate) fn skip_token(octets: &[u8]) -> Option<&[u8]> {
    let length = octets.iter().take_while(|&&octet| is_tchar(octet)).count();
    octets.get(length..).filter(|_| length > 0)
}

/// What stands behind the quoted string that `octets` begin with.
pub(crate) fn skip_quoted_string(octets: &[u8]) -> Option<&[u8]> {
    let mut rest = octets.strip_prefix(b"\"")?;
    loop {
        rest = match rest {
            [b'"', behind @ ..] => return Some(behind),
            [b'\\', escaped, behind @ ..] if is_field_value_byte(*escaped) => behind,
            [octet, behind @ ..] if is_field_value_byte(*octet) => behind,
            _ => return None,
        };
    }
}

/// Where an octet stands first.
pub(crate) fn position(octets: &[u8], octet: u8) -> Option<usize> {
    // To ask sixteen at once whether it is among them costs about as much as to ask one.
    let found = |any, &one: &u8| any | u8::from(one == octet);
    let is_without = |chunk: &&[u8; 16]| chunk.iter().fold(0, found) == 0;
    let without = octets.as_chunks().0.iter().take_while(is_without).count();
    let (_, rest) = octets.split_at(without * 16);
    rest.iter().position(|&one| one == octet).map(|at| without * 16 + at)
}

/// What stands between octets of one kind.
pub(crate) fn split(octets: &[u8], between: u8) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(octets);
    std::iter::from_fn(move || {
        let octets = rest?;
        let end = position(octets, between);
        rest = end.map(|end| &octets[end + 1..]);
        Some(&octets[..end.unwrap_or(octets.len())])
    })
}
