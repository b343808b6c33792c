//! The functions of VRL that scripts may use, and those that they may not.
//!
//! They are listed one by one, not taken from `vrl::stdlib::all()`, so that a new version of VRL brings no function that nobody
//! has looked at, and the linker leaves out what is refused.

use vrl::compiler::Function;

use crate::syslog::ParseSyslog;
use crate::zone::FixedZone;

/// A function that scripts may not use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    /// Name of the function.
    pub name: &'static str,
    /// Why, and what to use instead: a sentence's end after "`name` is refused: ".
    pub reason: &'static str,
}

const CLOCK: &str = "it reads the clock, and a record that is delivered again must become the same document; \
    `%kafka_timestamp` is the record's time";
const YEAR: &str = "it takes the year from the clock, and a record that is delivered again must become the same document; \
    use parse_regex or parse_grok, and parse_timestamp with the year of `%kafka_timestamp`";
const RANDOM: &str = "a record that is delivered again must become the same document; \
    `sample` of the topic keeps a share of the events, by a hash of their id";
const ID: &str = "a record that is delivered again must become the same document; \
    make an id of the event's own fields: sha2(.order_id), or of `%kafka_topic`, `%kafka_partition` and `%kafka_offset`";
const SYSTEM: &str =
    "it reads the machine that the function happens to run on, so a replay would give another document";
const NETWORK: &str = "transforms have no network: a slow or failing host would stop the topic, and a replay would give \
    another document";
const FILES: &str = "it reads files, which the function does not have";
const UNPACKS: &str = "what it unpacks has no bound, and one record could take all memory; \
    `compression` of the topic unpacks values within a bound";
const NESTING: &str = "text that nests deep enough ends the whole function (a stack overflow), or takes it minutes; \
    parse_json and parse_regex read within bounds";
const KEY: &str = "its key would stand in the file, for everyone to read who can read that; `hash` of the topic takes its salt from \
    Secrets Manager";
const COMPRESSES: &str = "nothing finds compressed text, and its code would make each cold start longer; encode_gzip and \
    encode_zlib compress";
const QUERY: &str =
    "its parser would make each cold start longer; write the condition in VRL, with `==`, match and contains";
const VECTOR: &str = "it belongs to Vector, which has secrets, enrichment tables and metrics of its own";

/// The functions that are refused, in the order of the alphabet.
pub const REFUSED: &[Refused] = &[
    refused("aggregate_vector_metrics", VECTOR),
    refused("decode_gzip", UNPACKS),
    refused("decode_lz4", UNPACKS),
    refused("decode_snappy", UNPACKS),
    refused("decode_zlib", UNPACKS),
    refused("decode_zstd", UNPACKS),
    refused("decrypt", KEY),
    refused("decrypt_ip", KEY),
    refused("dns_lookup", NETWORK),
    refused("encode_lz4", COMPRESSES),
    refused("encode_proto", FILES),
    refused("encode_snappy", COMPRESSES),
    refused("encode_zstd", COMPRESSES),
    refused("encrypt", KEY),
    refused("encrypt_ip", KEY),
    refused("find_enrichment_table_records", VECTOR),
    refused("find_vector_metrics", VECTOR),
    refused("get_enrichment_table_record", VECTOR),
    refused("get_env_var", "it reads the function's environment, where its credentials are"),
    refused("get_hostname", SYSTEM),
    refused("get_secret", VECTOR),
    refused("get_timezone_name", "scripts run in UTC everywhere"),
    refused("get_vector_metric", VECTOR),
    refused("http_request", NETWORK),
    refused("log", "a line a record would flood the function's log; set a field, and search for it"),
    refused("match_datadog_query", QUERY),
    refused("now", CLOCK),
    refused("parse_etld", FILES),
    refused(
        "parse_groks",
        "its dates read the clock, and its aliases read files; use parse_grok or parse_regex",
    ),
    refused("parse_klog", YEAR),
    refused("parse_linux_authorization", YEAR),
    refused(
        "parse_proto",
        "it reads files, which the function does not have; `format: protobuf` of the topic reads Protobuf",
    ),
    refused("parse_ruby_hash", NESTING),
    refused("parse_xml", NESTING),
    refused("parse_yaml", NESTING),
    refused("random_bool", RANDOM),
    refused("random_bytes", RANDOM),
    refused("random_float", RANDOM),
    refused("random_int", RANDOM),
    refused("remove_secret", VECTOR),
    refused("reverse_dns", NETWORK),
    refused("set_secret", VECTOR),
    refused("set_semantic_meaning", VECTOR),
    refused("shannon_entropy", "it adds in random order, so the last digits differ from run to run"),
    refused(
        "unnest",
        "it copies the whole payload for each element of a list, which can take all memory; a record is one document, so assign \
        the list itself",
    ),
    refused("uuid_v4", ID),
    refused("uuid_v7", ID),
    refused("validate_json_schema", FILES),
];

const fn refused(name: &'static str, reason: &'static str) -> Refused {
    Refused { name, reason }
}

/// Why a function is refused; `None` for one that is not.
pub fn refusal(name: &str) -> Option<&'static Refused> {
    REFUSED.iter().find(|refused| refused.name == name)
}

/// The functions that scripts may use.
pub fn allowed() -> Vec<Box<dyn Function>> {
    let mut functions = of_vrl();
    functions.push(Box::new(FixedZone(vrl::stdlib::FormatTimestamp)));
    functions.push(Box::new(FixedZone(vrl::stdlib::ParseTimestamp)));
    functions.push(Box::new(ParseSyslog));
    functions
}

macro_rules! functions {
    ($($name:ident),* $(,)?) => { vec![$(Box::new(vrl::stdlib::$name)),*] };
}

fn of_vrl() -> Vec<Box<dyn Function>> {
    functions![
        Abs,
        Append,
        Array,
        Assert,
        AssertEq,
        BaseName,
        Boolean,
        Camelcase,
        Ceil,
        Chunks,
        CommunityID,
        Compact,
        Contains,
        ContainsAll,
        Crc,
        DecodeBase16,
        DecodeBase64,
        DecodeCharset,
        DecodeMimeQ,
        DecodePercent,
        DecodePunycode,
        Del,
        DirName,
        Downcase,
        EncodeBase16,
        EncodeBase64,
        EncodeCharset,
        EncodeCsv,
        EncodeGzip,
        EncodeJson,
        EncodeKeyValue,
        EncodeLogfmt,
        EncodePercent,
        EncodePunycode,
        EncodeZlib,
        EndsWith,
        Exists,
        Filter,
        Find,
        Flatten,
        Float,
        Floor,
        ForEach,
        FormatInt,
        FormatNumber,
        FromEntries,
        FromUnixTimestamp,
        Get,
        Haversine,
        Hmac,
        Includes,
        Integer,
        IpAton,
        IpCidrContains,
        IpNtoa,
        IpNtop,
        IpPton,
        IpSubnet,
        IpToIpv6,
        Ipv6ToIpV4,
        IsArray,
        IsBoolean,
        IsEmpty,
        IsFloat,
        IsInteger,
        IsIpv4,
        IsIpv6,
        IsJson,
        IsNull,
        IsNullish,
        IsObject,
        IsRegex,
        IsString,
        IsTimestamp,
        Join,
        Kebabcase,
        Keys,
        Length,
        MapKeys,
        MapValues,
        Match,
        MatchAny,
        MatchArray,
        Md5,
        Merge,
        Mod,
        Object,
        ObjectFromArray,
        ParseApacheLog,
        ParseAwsAlbLog,
        ParseAwsCloudWatchLogSubscriptionMessage,
        ParseAwsVpcFlowLog,
        ParseBytes,
        ParseCbor,
        ParseCef,
        ParseCommonLog,
        ParseCsv,
        ParseDuration,
        ParseFloat,
        ParseGlog,
        ParseGrok,
        ParseInfluxDB,
        ParseInt,
        ParseJson,
        ParseKeyValue,
        ParseLogFmt,
        ParseNginxLog,
        ParseQueryString,
        ParseRegex,
        ParseRegexAll,
        ParseTokens,
        ParseUrl,
        ParseUserAgent,
        Pascalcase,
        Pop,
        Push,
        Range,
        Redact,
        Remove,
        Replace,
        ReplaceWith,
        Round,
        ScreamingSnakecase,
        Seahash,
        Set,
        Sha1,
        Sha2,
        Sha3,
        Sieve,
        Slice,
        Snakecase,
        Split,
        SplitPath,
        StartsWith,
        String,
        StripAnsiEscapeCodes,
        StripWhitespace,
        Strlen,
        TagTypesExternally,
        Tally,
        TallyValue,
        Timestamp,
        ToBool,
        ToEntries,
        ToFloat,
        ToInt,
        ToRegex,
        ToString,
        ToSyslogFacility,
        ToSyslogFacilityCode,
        ToSyslogLevel,
        ToSyslogSeverity,
        ToUnixTimestamp,
        Truncate,
        TypeDef,
        Unflatten,
        Unique,
        Upcase,
        UuidFromFriendlyId,
        Values,
        Xxhash,
        Zip,
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Functions that other features of the crate `vrl` have, or Vector itself.
    const ELSEWHERE: [&str; 18] = [
        "aggregate_vector_metrics",
        "dns_lookup",
        "encode_proto",
        "find_enrichment_table_records",
        "find_vector_metrics",
        "get_enrichment_table_record",
        "get_env_var",
        "get_hostname",
        "get_secret",
        "get_timezone_name",
        "get_vector_metric",
        "http_request",
        "parse_etld",
        "parse_proto",
        "remove_secret",
        "reverse_dns",
        "set_secret",
        "set_semantic_meaning",
    ];

    /// Fails when a new version of VRL has functions that nobody has decided about.
    #[test]
    fn each_function_of_vrl_is_allowed_or_refused() {
        let all: BTreeSet<&str> = vrl::stdlib::all().iter().map(|function| function.identifier()).collect();
        let allowed: Vec<&str> = allowed().iter().map(|function| function.identifier()).collect();
        let refused: Vec<&str> = REFUSED.iter().map(|refused| refused.name).collect();
        let decided: BTreeSet<&str> = allowed.iter().chain(&refused).copied().collect();
        assert_eq!(decided.len(), allowed.len() + refused.len(), "a function is listed twice");
        let elsewhere: BTreeSet<&str> = ELSEWHERE.into_iter().chain(["validate_json_schema"]).collect();
        assert_eq!(decided, all.union(&elsewhere).copied().collect());
        assert!(all.is_disjoint(&elsewhere));
        assert!(elsewhere.iter().all(|name| refused.contains(name)));
    }

    #[test]
    fn the_refused_are_in_the_order_of_the_alphabet() {
        assert!(REFUSED.is_sorted_by_key(|refused| refused.name));
    }
}
