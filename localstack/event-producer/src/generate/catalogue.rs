//! The shop that publishes the events: its products, customers and warehouses.

use rand::RngExt;
use serde::Serialize;

/// A product and its price in cents.
#[derive(Clone, Copy)]
pub(super) struct Product {
    pub(super) sku: &'static str,
    pub(super) name: &'static str,
    pub(super) price_cents: u32,
}

const fn product(sku: &'static str, name: &'static str, price_cents: u32) -> Product {
    Product { sku, name, price_cents }
}

const PRODUCTS: [Product; 16] = [
    product("KB-MECH-87-BLK", "Mechanical keyboard 87 keys", 8_990),
    product("MS-ERGO-02", "Ergonomic mouse", 4_450),
    product("MON-27-4K", "27 inch 4K monitor", 32_900),
    product("CBL-USBC-2M", "USB-C cable 2 m", 1_290),
    product("HDS-ANC-700", "Noise cancelling headset", 24_900),
    product("DSK-OAK-160", "Oak desk 160 cm", 41_500),
    product("CHR-MESH-BLU", "Mesh office chair", 27_900),
    product("LMP-LED-DIM", "Dimmable desk lamp", 3_990),
    product("BAG-LPT-15", "Laptop bag 15 inch", 5_900),
    product("SSD-NVME-2T", "NVMe drive 2 TB", 13_990),
    product("DOCK-TB4", "Thunderbolt 4 dock", 21_900),
    product("CAM-1080P", "Webcam 1080p", 6_490),
    product("MIC-USB-CND", "USB condenser microphone", 9_990),
    product("STD-MON-ARM", "Monitor arm", 7_990),
    product("PAD-XL-GRY", "Desk pad XL", 2_490),
    product("HUB-USB3-7P", "USB 3 hub 7 ports", 3_290),
];

const GIVEN_NAMES: [&str; 12] = [
    "Ana", "Björn", "Chiara", "Dmitri", "Elif", "Fatou", "Grace", "Hiroshi", "Ines", "José", "Katja", "Liam",
];
const FAMILY_NAMES: [&str; 12] = [
    "Almeida",
    "Brandt",
    "Costa",
    "Dubois",
    "Eriksen",
    "Fischer",
    "García",
    "Haddad",
    "Ivanov",
    "Jensen",
    "Kowalski",
    "Lindqvist",
];

/// Street, city, postal code, country and currency of the places the shop delivers to.
const PLACES: [(&str, &str, &str, &str, &str); 8] = [
    ("Kastanienallee", "Berlin", "10435", "DE", "EUR"),
    ("Rua Augusta", "Lisboa", "1100-053", "PT", "EUR"),
    ("Via Garibaldi", "Torino", "10122", "IT", "EUR"),
    ("Storgatan", "Göteborg", "411 24", "SE", "SEK"),
    ("Deansgate", "Manchester", "M3 2BW", "GB", "GBP"),
    ("Market Street", "San Francisco", "94103", "US", "USD"),
    ("Rue de Rivoli", "Paris", "75004", "FR", "EUR"),
    ("Nowy Świat", "Warszawa", "00-029", "PL", "PLN"),
];

pub(super) const WAREHOUSES: [&str; 4] = ["ber-01", "lis-02", "gdn-01", "sfo-03"];
pub(super) const CARRIERS: [&str; 4] = ["DHL", "UPS", "GLS", "PostNord"];
pub(super) const PAYMENT_METHODS: [&str; 4] = ["card", "paypal", "invoice", "sepa_debit"];

/// A delivery address as the order service writes it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Address {
    street: String,
    city: &'static str,
    postal_code: &'static str,
    pub(super) country: &'static str,
}

/// A customer with the delivery address.
#[derive(Clone, Debug)]
pub(super) struct Customer {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) email: String,
    pub(super) address: Address,
    pub(super) currency: &'static str,
}

/// Picks one of `items`.
pub(super) fn pick<T: Copy>(rng: &mut impl RngExt, items: &[T]) -> T {
    items.get(rng.random_range(0..items.len())).copied().expect("the index is below the length")
}

pub(super) fn pick_product(rng: &mut impl RngExt) -> Product {
    pick(rng, &PRODUCTS)
}

pub(super) fn pick_customer(rng: &mut impl RngExt) -> Customer {
    let (given, family) = (pick(rng, &GIVEN_NAMES), pick(rng, &FAMILY_NAMES));
    let (street, city, postal_code, country, currency) = pick(rng, &PLACES);
    let number = rng.random_range(1_000..60_000);
    Customer {
        id: format!("cus-{number:06}"),
        name: format!("{given} {family}"),
        email: format!("customer.{number}@example.com"),
        address: Address {
            street: format!("{street} {}", rng.random_range(1..180)),
            city,
            postal_code,
            country,
        },
        currency,
    }
}
