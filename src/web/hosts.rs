//! The setting `allowed_hosts`: host patterns, against DNS rebinding.
//!
//! DNS rebinding: an attacker's page at `evil.example` lets this name resolve to the address of
//! this server. The browser then takes the server's responses for pages of `evil.example`, and
//! the attacker's scripts may read them. The requests still name the host `evil.example`, so a
//! server that knows its own names can reject them.

use crate::http::request::Request;
use crate::http::target::{is_authority, split_port};

/// Returns `true` if the host of a request matches one of the patterns, or if there are none.
/// Its port is not compared.
pub(crate) fn is_allowed(request: &Request, allowed: &[String]) -> bool {
    if allowed.is_empty() {
        return true;
    }
    let (host, _) = split_port(request.authority_bytes().unwrap_or_default());
    // A fully qualified domain name may end in a dot: `example.com.`
    let host = host.strip_suffix(b".").unwrap_or(host);
    allowed.iter().any(|pattern| matches(pattern.as_bytes(), host))
}

/// Returns `true` if a pattern is valid: `example.com`, `*.example.com`, `127.0.0.1`, `[::1]`.
pub(crate) fn is_pattern(pattern: &str) -> bool {
    let host = pattern.strip_prefix("*.").unwrap_or(pattern);
    let is_domain = !host.contains(['*', '[']) && !host.ends_with('.');
    is_authority(host.as_bytes())
        && split_port(host.as_bytes()).1.is_empty()
        && (is_domain || (host == pattern && host.starts_with('[')))
}

/// `*.example.com` matches every name below `example.com`, and not the name itself.
fn matches(pattern: &[u8], host: &[u8]) -> bool {
    let Some(domain) = pattern.strip_prefix(b"*") else {
        return pattern == host || pattern.eq_ignore_ascii_case(host);
    };
    let start = host.len().saturating_sub(domain.len());
    start > 0 && host[start..].eq_ignore_ascii_case(domain)
}
