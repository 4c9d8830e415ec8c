//! What a provider credential on its way to a proxy is sealed for.

use domain::ids::{BootEpoch, ProviderId, ProxyId};

/// Sets this use of a boot key apart from any other.
const PURPOSE: &[u8] = b"tollgate provider credential v1";

/// The `info` of a sealed credential, the same bytes at both ends: purpose, proxy, epoch, provider and version, each
/// with its length in front. What was sealed for one life of one proxy opens nowhere else, nor as another version.
pub fn secret_info(proxy: &ProxyId, epoch: BootEpoch, provider: &ProviderId, version: u64) -> Vec<u8> {
    let (epoch, version) = (epoch.0.to_be_bytes(), version.to_be_bytes());
    let parts: [&[u8]; 5] = [PURPOSE, proxy.as_str().as_bytes(), &epoch, provider.as_str().as_bytes(), &version];
    let mut info = Vec::with_capacity(parts.iter().map(|part| part.len() + 8).sum());
    for part in parts {
        info.extend_from_slice(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        info.extend_from_slice(part);
    }
    info
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_purposes_share_their_bytes() {
        let info = |proxy: &str, epoch, provider: &str, version| {
            secret_info(&proxy.parse().unwrap(), BootEpoch(epoch), &provider.parse().unwrap(), version)
        };
        let one = info("edge-1", 7, "openai", 1);
        assert_eq!(one, info("edge-1", 7, "openai", 1));
        for other in [info("edge-2", 7, "openai", 1), info("edge-1", 8, "openai", 1), info("edge-1", 7, "groq", 1)] {
            assert_ne!(one, other);
        }
        assert_ne!(one, info("edge-1", 7, "openai", 2));
        assert_ne!(info("a", 7, "bc", 1), info("ab", 7, "c", 1));
    }
}
