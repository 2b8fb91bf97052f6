//! Decoding of URLs and forms, for the victims that stand below `dustdevil::web`.

/// Returns the decoded value of an argument; of several, the last.
pub(crate) fn form_value(form: &[u8], name: &str) -> Option<String> {
    let form = String::from_utf8_lossy(form);
    let pairs = form.split('&').filter_map(|pair| pair.split_once('='));
    let mut values =
        pairs.filter(|(found, _)| *found == name).map(|(_, value)| decode(value));
    values.next_back()
}

/// Decodes `%0d` and `+`.
pub(crate) fn decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let code = after.get(..2).filter(|_| *first == b'%');
        let code = code.and_then(|digits| hex::decode(digits).ok());
        match code {
            Some(code) => {
                bytes.extend(code);
                rest = &after[2..];
            }
            None => {
                bytes.push(if *first == b'+' { b' ' } else { *first });
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
