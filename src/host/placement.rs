//! Where a PCI function hangs: the chain of bridges above it, and the root complex.

use std::path::Path;

use serde::Serialize;

use super::root::Root;
use crate::base::PciAddress;

/// The way from the root complex to a function, from where its entry in `/sys/bus/pci/devices` leads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Place {
    /// The root bus below which it is, `pci0000:00`. Of several on the way (Intel VMD makes one below a function) the last.
    pub root_complex: String,
    /// All PCI functions above it, the nearest last.
    pub upstream: Vec<PciAddress>,
    /// The bridge whose bus it is on; `None` on a root bus. A reset of that bus reaches everything below this bridge.
    pub bridge: Option<PciAddress>,
}

impl Place {
    /// The place of a function; `None` if its entry is no link, or gone.
    pub(super) fn read(root: &Root, address: PciAddress) -> Option<Self> {
        let target = root.link(super::pci::folder(address)).ok().flatten()?;
        Self::from_path(&target)
    }

    /// The place that the path of a function's folder tells; `None` if there is no root bus on it.
    fn from_path(path: &Path) -> Option<Self> {
        let mut names = path.iter().map(|name| name.to_string_lossy());
        names.next_back()?;
        let mut place: Option<Self> = None;
        for name in names {
            if let Some(root_complex) = name.strip_prefix("pci").filter(|number| number.contains(':')) {
                let upstream = place.take().map(|place| place.upstream).unwrap_or_default();
                place = Some(Self { root_complex: format!("pci{root_complex}"), upstream, bridge: None });
            } else if let (Ok(address), Some(place)) = (name.parse(), &mut place) {
                place.upstream.push(address);
                place.bridge = Some(address);
            }
        }
        place
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::Place;

    fn place(path: &str) -> (String, String, Option<String>) {
        let place = Place::from_path(Path::new(path)).unwrap();
        let upstream: Vec<String> = place.upstream.iter().map(ToString::to_string).collect();
        (place.root_complex, upstream.join(" "), place.bridge.map(|bridge| bridge.to_string()))
    }

    #[test]
    fn below_bridges() {
        assert_eq!(
            place("../../../devices/pci0000:00/0000:00:03.1/0000:09:00.0/0000:0a:00.0"),
            ("pci0000:00".to_owned(), "0000:00:03.1 0000:09:00.0".to_owned(), Some("0000:09:00.0".to_owned()))
        );
    }

    #[test]
    fn on_a_root_bus() {
        assert_eq!(place("../../../devices/pci0000:64/0000:64:00.0"), ("pci0000:64".to_owned(), String::new(), None));
    }

    #[test]
    fn behind_vmd_the_inner_root_counts() {
        let path = "../../../devices/pci0000:00/0000:00:0e.0/pci10000:e0/10000:e0:06.0/10000:e1:00.0";
        let wanted = ("pci10000:e0".to_owned(), "0000:00:0e.0 10000:e0:06.0".to_owned());
        let (root, upstream, bridge) = place(path);
        assert_eq!(((root, upstream), bridge.as_deref()), (wanted, Some("10000:e0:06.0")));
        let on_inner_root = place("../../../devices/pci0000:00/0000:00:0e.0/pci10000:e0/10000:e0:06.0");
        assert_eq!(on_inner_root.2, None, "VMD is no bridge: there is no bus to reset");
    }

    #[test]
    fn devices_without_a_root_bus_have_no_place() {
        assert_eq!(Place::from_path(Path::new("../../../devices/virtual/x")), None);
    }
}
