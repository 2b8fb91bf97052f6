//! Session values of any type that serde can serialize, stored as JSON. Feature `json`.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::session::error::{Error, Result};
use crate::session::handle::Session;

impl Session {
    /// Returns the value of a name, deserialized from JSON. [`Error::WrongType`] if it cannot be
    /// deserialized as `T`.
    pub async fn get_json<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        self.get(name).await?.map(|text| from_json(name, &text)).transpose()
    }

    /// Sets a value, serialized as JSON; see [`set`](Session::set). [`Error::WrongType`] if it
    /// cannot be serialized, for example a map whose keys are not strings.
    ///
    /// ```
    /// # async fn example(session: dustdevil::Session) -> dustdevil::Result {
    /// session.set_json("cart", &vec![("tea", 2), ("cup", 1)]).await?;
    /// let cart: Option<Vec<(String, u32)>> = session.get_json("cart").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn set_json<T: Serialize + ?Sized>(&self, name: &str, value: &T) -> Result {
        self.set(name, to_json(name, value)?).await
    }

    /// Replaces a value by what `change` computes from it, atomically; see
    /// [`update`](Session::update).
    pub async fn update_json<T: DeserializeOwned + Serialize>(
        &self,
        name: &str,
        mut change: impl FnMut(Option<T>) -> T,
    ) -> Result<Option<T>> {
        let change = |old: Option<&str>| {
            let new = change(old.map(|text| from_json(name, text)).transpose()?);
            Ok((to_json(name, &new)?, new))
        };
        self.update_text(name, change).await
    }
}

fn from_json<T: DeserializeOwned>(name: &str, text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|_| Error::WrongType { name: name.to_owned() })
}

fn to_json<T: Serialize + ?Sized>(name: &str, value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|_| Error::WrongType { name: name.to_owned() })
}
