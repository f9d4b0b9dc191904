//! The GPUs of Azure's flavors, which its lists of them do not name.

/// What the GPUs of a flavor are, and the memory of one of them in GiB.
pub(super) struct Gpu {
    pub model: &'static str,
    pub memory: f64,
}

/// How a name begins and what it has in it; the first that fits counts.
const MODELS: &[(&str, &str, &str, f64)] = &[
    ("Standard_ND", "_H200_v5", "H200", 141.0),
    ("Standard_ND", "_MI300X_v5", "MI300X", 192.0),
    ("Standard_ND", "_H100_v5", "H100", 80.0),
    ("Standard_NC", "_H100_v5", "H100 NVL", 94.0),
    ("Standard_ND", "amsr_A100_v4", "A100", 80.0),
    ("Standard_ND", "asr_v4", "A100", 40.0),
    ("Standard_NC", "_A100_v4", "A100", 80.0),
    ("Standard_NC", "_T4_v3", "T4", 16.0),
    ("Standard_NV", "_A10_v5", "A10", 24.0),
    ("Standard_ND", "rs_v2", "V100", 32.0),
    ("Standard_NC", "s_v3", "V100", 16.0),
    ("Standard_NV", "s_v3", "M60", 8.0),
];

/// Cores of the whole of an A10, of which the smaller flavors have a part.
const CORES_OF_AN_A10: f64 = 36.0;

/// None: the flavor has none, or one of a kind that is not known here.
pub(super) fn of_flavor(name: &str) -> Option<Gpu> {
    let fits = |(beginning, part, ..): &&(&str, &str, &str, f64)| {
        name.starts_with(beginning) && name.contains(part)
    };
    MODELS.iter().find(fits).map(|(_, _, model, memory)| Gpu { model, memory: *memory })
}

/// Memory of all GPUs of a flavor, GiB.
pub(super) fn memory_of(gpu: &Gpu, cores: u32, count: f64) -> f64 {
    if gpu.model == "A10" {
        return gpu.memory * f64::from(cores) / CORES_OF_AN_A10;
    }
    gpu.memory * count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flavors_have_their_gpus() {
        for (name, cores, count, model, memory) in [
            ("Standard_NC24ads_A100_v4", 24, 1.0, "A100", 80.0),
            ("Standard_ND96asr_v4", 96, 8.0, "A100", 320.0),
            ("Standard_NC4as_T4_v3", 4, 1.0, "T4", 16.0),
            ("Standard_NV6ads_A10_v5", 6, 1.0, "A10", 4.0),
            ("Standard_NC6s_v3", 6, 1.0, "V100", 16.0),
            ("Standard_NV12s_v3", 12, 1.0, "M60", 8.0),
        ] {
            let gpu = of_flavor(name).unwrap();
            assert_eq!((gpu.model, memory_of(&gpu, cores, count)), (model, memory), "{name}");
        }
        assert!(of_flavor("Standard_D2s_v3").is_none());
    }
}
