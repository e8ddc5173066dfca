//! Cluster IPs and node ports.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use serde_json::Value;

use super::random::Random;
use crate::kinds::ServiceAllocator;

/// The service range is 10.0.0.0/24, as in the transcripts' server.
const RANGE: [u8; 3] = [10, 0, 0];

/// What Services hold.
#[derive(Debug, Clone)]
pub(crate) struct Allocator {
    random: Random,
    /// Addresses outside of the first /24 too: a busy test may need more.
    ips: BTreeSet<Ipv4Addr>,
    ports: BTreeSet<i64>,
}

impl Allocator {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            random: Random::new(seed ^ 0x5e41),
            ips: BTreeSet::new(),
            ports: BTreeSet::new(),
        }
    }

    /// Books what a Service holds already.
    pub(crate) fn hold(&mut self, service: &Value) {
        let spec = &service["spec"];
        for ip in spec["clusterIPs"].as_array().into_iter().flatten() {
            if let Some(ip) = ip.as_str().and_then(|ip| ip.parse().ok()) {
                self.ips.insert(ip);
            }
        }
        for port in spec["ports"].as_array().into_iter().flatten() {
            self.ports.extend(port["nodePort"].as_i64());
        }
        self.ports.extend(spec["healthCheckNodePort"].as_i64());
    }

    fn in_range(ip: Ipv4Addr) -> bool {
        let [a, b, c, d] = ip.octets();
        [a, b, c] == RANGE && (1..255).contains(&d)
    }
}

impl ServiceAllocator for Allocator {
    fn take_ip(&mut self, wanted: Option<&str>) -> Result<String, String> {
        if let Some(wanted) = wanted {
            let not_valid = || "the provided network does not match the current range".to_owned();
            let ip: Ipv4Addr = wanted.parse().map_err(|_| not_valid())?;
            if !Self::in_range(ip) {
                return Err(not_valid());
            }
            if !self.ips.insert(ip) {
                return Err("provided IP is already allocated".to_owned());
            }
            return Ok(wanted.to_owned());
        }
        let [a, b, c] = RANGE;
        // The lower part of the range is for those who ask for an address.
        for (first, count) in [(17, 238), (1, 16)] {
            let start = self.random.below(count);
            for step in 0..count {
                let d = u8::try_from(first + (start + step) % count).unwrap_or(1);
                let ip = Ipv4Addr::new(a, b, c, d);
                if d < 255 && self.ips.insert(ip) {
                    return Ok(ip.to_string());
                }
            }
        }
        Err("range is full".to_owned())
    }

    fn release_ip(&mut self, ip: &str) {
        if let Ok(ip) = ip.parse() {
            self.ips.remove(&ip);
        }
    }

    fn take_port(&mut self, wanted: Option<i64>) -> Result<i64, String> {
        if let Some(wanted) = wanted {
            if !(30_000..=32_767).contains(&wanted) {
                return Err("provided port is not in the valid range. The range of valid ports is 30000-32767".to_owned());
            }
            if !self.ports.insert(wanted) {
                return Err("provided port is already allocated".to_owned());
            }
            return Ok(wanted);
        }
        let count = 2768_u64;
        let start = self.random.below(count);
        for step in 0..count {
            let port = 30_000 + i64::try_from((start + step) % count).unwrap_or(0);
            if self.ports.insert(port) {
                return Ok(port);
            }
        }
        Err("range is full".to_owned())
    }

    fn release_port(&mut self, port: i64) {
        self.ports.remove(&port);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_given_once() {
        let mut allocator = Allocator::new(1);
        let mut seen = BTreeSet::new();
        for _ in 0..254 {
            assert!(seen.insert(allocator.take_ip(None).unwrap()));
        }
        assert_eq!(allocator.take_ip(None), Err("range is full".to_owned()));
        allocator.release_ip("10.0.0.9");
        assert_eq!(
            allocator.take_ip(Some("10.0.0.9")),
            Ok("10.0.0.9".to_owned())
        );
        assert!(allocator.take_ip(Some("10.0.0.9")).is_err());
        assert!(allocator.take_ip(Some("192.168.0.1")).is_err());
    }
}
