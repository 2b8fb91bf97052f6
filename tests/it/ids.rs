//! Session ids, and the keys under which the store keeps sessions.
//!
//! The id is the secret in the cookie. The store has only its hash, the key, so a copy of the
//! store does not give access to sessions. Logs have a fingerprint, which is shorter still.

use dustdevil::session::id::Id;

#[tokio::test]
async fn an_id_is_128_random_bits_in_32_hex_digits() {
    let ids: std::collections::HashSet<String> =
        (0..1000).map(|_| Id::generate().reveal().to_owned()).collect();
    assert_eq!(ids.len(), 1000);
    for id in &ids {
        assert!(
            id.len() == 32 && id.bytes().all(|byte| b"0123456789abcdef".contains(&byte))
        );
    }
    let mut set_bits = [0u32; 128];
    for id in &ids {
        let bits = u128::from_str_radix(id, 16).unwrap();
        for (at, count) in set_bits.iter_mut().enumerate() {
            *count += u32::from(bits >> at & 1 == 1);
        }
    }
    // Each bit is set in about half of the thousand ids. A deviation of ten standard deviations
    // does not happen by chance.
    assert!(set_bits.iter().all(|count| (342..=658).contains(count)), "{set_bits:?}");
}

#[test]
fn only_32_hex_digits_parse_as_an_id() {
    let id = Id::generate();
    assert_eq!(Id::parse(id.reveal()).unwrap().key(), id.key());
    for text in ["", "a", &id.reveal()[1..], &format!("{}0", id.reveal()), &"G".repeat(32)]
    {
        assert!(Id::parse(text).is_none(), "{text}");
    }
    assert!(Id::parse(&"ABCDEF0123456789".repeat(2)).is_none(), "in lower case only");
}

#[test]
fn neither_the_stored_key_nor_the_logged_fingerprint_is_the_id() {
    let id = Id::parse("0123456789abcdef0123456789abcdef").unwrap();
    // The output of `md5sum` for the 32 digits.
    assert_eq!(id.key().to_string(), "8516ac99dc60603295de7bdb6a153530");
    assert!(!format!("{id:?}").contains(id.reveal()));
    assert!(!format!("{:?}", id.key()).contains(id.reveal()));
}
