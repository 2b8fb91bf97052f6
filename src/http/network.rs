//! IP networks in CIDR notation (RFC 4632 section 3.1): `10.0.0.0/8`, `2001:db8::/32`.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// An IP network: all addresses of one family that begin with the same bits.
///
/// Parsed from CIDR notation, or from one address, which is a network of its own. The bits
/// below the prefix must be zero: of `10.1.2.3/8`, one half must be a mistake, and to believe
/// all of `10.0.0.0/8` could be the wrong one.
///
/// An IPv4-mapped IPv6 address or network (`::ffff:10.0.0.0/104`) is the IPv4 one, because a
/// dual-stack socket shows IPv4 clients as such addresses (RFC 4291 section 2.5.5.2). So
/// `::/0` is all of IPv6 and nothing of IPv4.
///
/// ```
/// use dustdevil::Network;
///
/// let network: Network = "10.0.0.0/8".parse()?;
/// assert!(network.contains([10, 1, 2, 3].into()));
/// assert_eq!(Network::from([127, 0, 0, 1]), "127.0.0.1".parse()?);
/// assert!("10.1.2.3/8".parse::<Network>().is_err());
/// # Ok::<(), dustdevil::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network {
    /// Canonical: not IPv4-mapped.
    address: IpAddr,
    /// Length of the prefix in bits.
    prefix: u8,
}

/// The error for text that is not a [`Network`]. Says what is wrong with it.
#[derive(Clone, Debug)]
pub struct InvalidNetwork(String);

impl Network {
    /// Returns `true` if the address belongs to this network.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let differing = left_aligned(address) ^ left_aligned(self.address);
        address.is_ipv4() == self.address.is_ipv4()
            && differing.leading_zeros() >= u32::from(self.prefix)
    }

    /// Returns the network of one client: an IPv4 address, or a /64 of IPv6, which is what one
    /// subscriber usually gets and can choose any address of.
    pub(crate) fn of_client(address: IpAddr) -> Network {
        match address.to_canonical() {
            IpAddr::V6(address) => {
                let address = IpAddr::V6((address.to_bits() >> 64 << 64).into());
                Network { address, prefix: 64 }
            }
            address => Network::from(address),
        }
    }
}

/// The network of one address, and no other.
impl<A: Into<IpAddr>> From<A> for Network {
    fn from(address: A) -> Network {
        let address = address.into().to_canonical();
        Network { address, prefix: width(address) }
    }
}

impl FromStr for Network {
    type Err = InvalidNetwork;

    fn from_str(text: &str) -> Result<Network, InvalidNetwork> {
        let invalid =
            |reason| InvalidNetwork(format!("invalid network {text:?}: {reason}"));
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| invalid("no IP address"))?;
        let width = width(address);
        let prefix =
            prefix.map_or(Ok(width), str::parse).ok().filter(|bits| *bits <= width);
        let prefix =
            prefix.ok_or_else(|| invalid("the prefix is too long or no number"))?;
        if left_aligned(address).trailing_zeros() + u32::from(prefix) < 128 {
            return Err(invalid("it has bits below its prefix, which must be zero"));
        }
        // The prefix of an IPv4-mapped network is at least 96, because its address has bits
        // there.
        let network = Network::from(address);
        Ok(Network { prefix: prefix - (width - network.prefix), ..network })
    }
}

/// Returns the length of an address in bits.
fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// Returns the bits of an address, the first one as the most significant bit.
fn left_aligned(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()) << 96,
        IpAddr::V6(address) => address.to_bits(),
    }
}

impl fmt::Display for InvalidNetwork {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for InvalidNetwork {}
