//! Addresses of AWS's services in a region.

/// Domains of the partitions, by the start of their regions' names. All others are in `amazonaws.com`. From
/// <https://github.com/boto/botocore/blob/develop/botocore/data/partitions.json>.
const DOMAINS: [(&str, &str); 6] = [
    ("cn-", "amazonaws.com.cn"),
    ("eusc-", "amazonaws.eu"),
    ("us-iso-", "c2s.ic.gov"),
    ("us-isob-", "sc2s.sgov.gov"),
    ("eu-isoe-", "cloud.adc-e.uk"),
    ("us-isof-", "csp.hci.ic.gov"),
];

/// The URL of a service, by the name that its endpoints begin with: `https://glue.eu-central-1.amazonaws.com`.
pub fn service_url(service: &str, region: &str) -> String {
    let known = DOMAINS.iter().find(|(start, _)| region.starts_with(start));
    let domain = known.map_or("amazonaws.com", |(_, domain)| *domain);
    format!("https://{service}.{region}.{domain}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_in_the_domain_of_its_regions_partition() {
        for (region, url) in [
            ("eu-central-1", "https://glue.eu-central-1.amazonaws.com"),
            ("us-gov-west-1", "https://glue.us-gov-west-1.amazonaws.com"),
            ("cn-north-1", "https://glue.cn-north-1.amazonaws.com.cn"),
            ("eusc-de-east-1", "https://glue.eusc-de-east-1.amazonaws.eu"),
            ("us-iso-east-1", "https://glue.us-iso-east-1.c2s.ic.gov"),
            ("us-isob-east-1", "https://glue.us-isob-east-1.sc2s.sgov.gov"),
        ] {
            assert_eq!(service_url("glue", region), url);
        }
    }
}
