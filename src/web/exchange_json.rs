//! JSON as the content of requests and responses, through serde. Feature `json`, which is why
//! it is apart from the other methods of the exchange.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, HttpError, Result};
use crate::http::status::Status;
use crate::web::exchange::Exchange;

/// JSON.
impl Exchange {
    /// Appends a value to the content of the response, serialized as JSON, and sets the
    /// Content-Type to `application/json`, without a charset (RFC 8259 section 11: JSON is
    /// UTF-8). A handler that needs another type sets it afterwards. Fails after `finish`, and
    /// if the value cannot be serialized, for example a map with keys that are not strings.
    /// Tornado's `write` of a dictionary.
    ///
    /// ```
    /// # fn example(exchange: &mut dustdevil::Exchange) -> dustdevil::Result {
    /// # let votes = std::collections::BTreeMap::from([("tea", 2), ("cup", 1)]);
    /// exchange.write_json(&votes)
    /// # }
    /// ```
    pub fn write_json<T: Serialize + ?Sized>(&mut self, value: &T) -> Result {
        self.write_page(serde_json::to_string(value)?)?;
        self.set_unchecked("Content-Type", "application/json");
        Ok(())
    }

    /// Returns the content of the request, deserialized from JSON. Fails with 415 if its
    /// Content-Type is another than `application/json` or a type that ends in `+json`, and with
    /// 400 if it cannot be deserialized as `T`. The message has line and column; it does not
    /// quote the content, which may be long or secret. Tornado's
    /// `json_decode(self.request.body)`, which accepts any type.
    ///
    /// The type is checked because a form of another site can send JSON as `text/plain`, and a
    /// browser sends `application/json` to another site only with its permission (CORS). For
    /// clients that send no type: `serde_json::from_slice(exchange.content())`.
    pub fn json_content<T: DeserializeOwned>(&self) -> Result<T> {
        if !is_json(self.request.field("Content-Type").unwrap_or_default()) {
            let message = "The content must be application/json.";
            let error = HttpError::new(Status::UNSUPPORTED_MEDIA_TYPE, message);
            return Err(error.with_header("Accept", "application/json").into());
        }
        serde_json::from_slice(&self.content).map_err(|error| {
            let what = if error.is_data() { "Unexpected value in" } else { "Invalid" };
            let (line, column) = (error.line(), error.column());
            let message = format!("{what} JSON, line {line}, column {column}.");
            Error::http(Status::BAD_REQUEST, message)
        })
    }
}

/// Returns `true` for the media type of JSON, and for one with its suffix (RFC 6839 section
/// 3.1), such as `application/ld+json`.
fn is_json(content_type: &str) -> bool {
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    let media_type = media_type.to_ascii_lowercase();
    media_type == "application/json" || media_type.ends_with("+json")
}
