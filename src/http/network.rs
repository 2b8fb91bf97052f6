//! IP networks in CIDR notation (RFC 4632 section 3.1): `10.0.0.0/8`, `2001:db8::/32`.

use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

/// An IP network: all addresses that begin with the same bits.
///
/// Parsed from CIDR notation, or from one address, which is a network of its own. The bits
/// below the prefix must be zero: of `10.1.2.3/8`, one half must be a mistake, and to believe
/// all of `10.0.0.0/8` could be the wrong one.
///
/// An IPv4 address is the same as its IPv4-mapped IPv6 address (`::ffff:10.0.0.1`), because a
/// dual-stack socket shows IPv4 clients as such addresses (RFC 4291 section 2.5.5.2). So
/// `0.0.0.0/0` is all of IPv4, and `::/0` contains every address.
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
    address: Ipv6Addr,
    /// Length of the prefix in bits, of an IPv6 address.
    prefix: u8,
}

impl Network {
    /// Returns `true` if the address belongs to this network.
    pub fn contains(&self, address: IpAddr) -> bool {
        let differing = mapped(address).to_bits() ^ self.address.to_bits();
        differing.leading_zeros() >= u32::from(self.prefix)
    }

    /// Returns the network of one client: an IPv4 address, or a /64 of IPv6, which is what one
    /// subscriber usually gets and can choose any address of.
    pub(crate) fn of_client(address: IpAddr) -> Network {
        match address.to_canonical() {
            IpAddr::V4(address) => Network::from(address),
            IpAddr::V6(address) => {
                Network { address: (address.to_bits() >> 64 << 64).into(), prefix: 64 }
            }
        }
    }
}

/// The network of one address, and no other.
impl<A: Into<IpAddr>> From<A> for Network {
    fn from(address: A) -> Network {
        Network { address: mapped(address.into()), prefix: 128 }
    }
}

/// The message of the error says what is wrong.
impl FromStr for Network {
    type Err = io::Error;

    fn from_str(text: &str) -> io::Result<Network> {
        let invalid =
            |reason| io::Error::other(format!("invalid network {text:?}: {reason}"));
        let parts = text.split_once('/');
        let (address, prefix) =
            parts.map_or((text, None), |(left, right)| (left, Some(right)));
        let address: IpAddr = address.parse().map_err(|_| invalid("no IP address"))?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let bits = prefix.map_or(Ok(width), str::parse).ok().filter(|bits| *bits <= width);
        let bits = bits.ok_or_else(|| invalid("the prefix is too long or no number"))?;
        let network = Network { address: mapped(address), prefix: bits + (128 - width) };
        if network.address.to_bits().trailing_zeros() < u32::from(128 - network.prefix) {
            return Err(invalid("it has bits below its prefix, which must be zero"));
        }
        Ok(network)
    }
}

fn mapped(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}
