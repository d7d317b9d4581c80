//! What a minor version of Kubernetes no longer takes, and what else to look at when a cluster comes to it.
use super::Minor;

/// What to look at before or after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mind {
    /// A sentence without its full stop.
    pub text: &'static str,
    /// Where upstream says so.
    pub source: &'static str,
}

/// What is gone in one minor version.
///
/// The lists are differences between the Go modules `k8s.io/kubernetes` v1.29.6, v1.30.14, v1.31.14, v1.32.13, v1.33.13, v1.34.4, v1.35.4,
/// v1.36.3 and v1.37.2: flags that `cmd/kubelet/app/options` and `pkg/kubelet/config/flags.go` define, and gates that any package defines.
/// A kubelet does not start with a flag that it does not know, and no component with such a gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone {
    /// The first minor version without them.
    pub minor: Minor,
    /// Flags of the kubelet, without dashes.
    pub kubelet_flags: &'static [&'static str],
    /// Feature gates of any component.
    pub feature_gates: &'static [&'static str],
    /// What else changes.
    pub minds: &'static [Mind],
    /// The notes of the release.
    pub source: &'static str,
}

/// Since the patches of May 2026 an API server reads logs of kubelets under another name, which clusters that came from before have not bound.
/// Which patches those are was seen for 1.35.5 only.
const LOGS_AND_EXEC: Mind = Mind {
    text: "afterwards try `kubectl logs` and `kubectl exec`: from a patch of May 2026 on they are forbidden in clusters that came from an older one, \
           until `kubeadm:apiserver-kubelet-client` is bound to `system:kubelet-api-admin`",
    source: "https://github.com/kubernetes/kubeadm/issues/3310",
};

/// What is gone, by minor version, oldest first.
pub const GONE: &[Gone] = &[
    Gone {
        minor: Minor(1, 30),
        kubelet_flags: &["azure-container-registry-config"],
        feature_gates: &[
            "APISelfSubjectReview",
            "CSIMigrationAzureFile",
            "ExpandedDNSConfig",
            "ExperimentalHostUserNamespaceDefaulting",
            "IPTablesOwnershipCleanup",
            "KubeletPodResources",
            "KubeletPodResourcesGetAllocatable",
            "LegacyServiceAccountTokenTracking",
            "MinimizeIPTablesRestore",
            "ProxyTerminatingEndpoints",
            "SecurityContextDeny",
        ],
        minds: &[],
        source: "https://github.com/kubernetes/kubernetes/blob/master/CHANGELOG/CHANGELOG-1.30.md",
    },
    Gone {
        minor: Minor(1, 31),
        kubelet_flags: &["iptables-drop-bit", "iptables-masquerade-bit", "keep-terminated-pod-volumes"],
        feature_gates: &[
            "CSIMigrationRBD",
            "CSINodeExpandSecret",
            "ConsistentHTTPGetHandlers",
            "DefaultHostNetworkHostPortsInPodTemplates",
            "InTreePluginAWSUnregister",
            "InTreePluginAzureDiskUnregister",
            "InTreePluginAzureFileUnregister",
            "InTreePluginGCEUnregister",
            "InTreePluginOpenStackUnregister",
            "InTreePluginRBDUnregister",
            "InTreePluginvSphereUnregister",
            "JobReadyPods",
            "ReadWriteOncePod",
            "ServiceNodePortStaticSubrange",
            "SkipReadOnlyValidationGCE",
        ],
        minds: &[Mind {
            text: "kubeadm writes its configuration as v1beta4 from here on, where extra arguments are a list",
            source: "https://kubernetes.io/docs/reference/config-api/kubeadm-config.v1beta4/",
        }],
        source: "https://github.com/kubernetes/kubernetes/blob/master/CHANGELOG/CHANGELOG-1.31.md",
    },
    Gone {
        minor: Minor(1, 32),
        kubelet_flags: &[],
        feature_gates: &[
            "CloudControllerManagerWebhook",
            "CloudDualStackNodeIPs",
            "DRAControlPlaneController",
            "HPAContainerMetrics",
            "LegacyServiceAccountTokenCleanUp",
            "MinDomainsInPodTopologySpread",
            "NewVolumeManagerReconstruction",
            "NodeOutOfServiceVolumeDetach",
            "PodHostIPs",
            "RetryGenerateName",
            "StableLoadBalancerNodeSet",
        ],
        minds: &[],
        source: "https://github.com/kubernetes/kubernetes/blob/master/CHANGELOG/CHANGELOG-1.32.md",
    },
    Gone {
        minor: Minor(1, 33),
        kubelet_flags: &[],
        feature_gates: &[
            "AppArmor",
            "AppArmorFields",
            "CPUManager",
            "DisableCloudProviders",
            "DisableKubeletCloudCredentialProviders",
            "JobPodFailurePolicy",
            "KubeProxyDrainingTerminatingNodes",
            "PDBUnhealthyPodEvictionPolicy",
            "PersistentVolumeLastPhaseTransitionTime",
            "VolumeCapacityPriority",
        ],
        minds: &[LOGS_AND_EXEC],
        source: "https://github.com/kubernetes/kubernetes/blob/master/CHANGELOG/CHANGELOG-1.33.md",
    },
    Gone {
        minor: Minor(1, 34),
        kubelet_flags: &["cloud-config", "register-schedulable"],
        feature_gates: &[
            "DevicePluginCDIDevices",
            "ElasticIndexedJob",
            "LegacySidecarContainers",
            "PodDisruptionConditions",
            "StatefulSetStartOrdinal",
        ],
        minds: &[LOGS_AND_EXEC],
        source: "https://github.com/kubernetes/kubernetes/blob/master/CHANGELOG/CHANGELOG-1.34.md",
    },
    Gone {
        minor: Minor(1, 35),
        kubelet_flags: &["pod-infra-container-image"],
        feature_gates: &[
            "AllowServiceLBStatusOnNonLB",
            "CronJobsScheduledAnnotation",
            "DeclarativeValidation",
            "DeclarativeValidationTakeover",
            "LoadBalancerIPMode",
            "PodIndexLabel",
            "ProbeHostPodSecurityStandards",
            "SizeMemoryBackedVolumes",
            "StatefulSetAutoDeletePVC",
            "UnknownVersionInteroperabilityProxy",
            "UserNamespacesPodSecurityStandards",
        ],
        minds: &[
            Mind {
                text: "the kubelet refuses cgroup v1: before the step `stat -fc %T /sys/fs/cgroup` says `cgroup2fs` on every node",
                source: super::systems::CGROUP_V2,
            },
            LOGS_AND_EXEC,
        ],
        source: "https://github.com/kubernetes/kubernetes/blob/master/CHANGELOG/CHANGELOG-1.35.md",
    },
    Gone {
        minor: Minor(1, 36),
        kubelet_flags: &[],
        feature_gates: &[
            "CSIMigrationPortworx",
            "HonorPVReclaimPolicy",
            "InPlacePodVerticalScalingAllocatedStatus",
            "InTreePluginPortworxUnregister",
            "MemoryManager",
            "ServiceTrafficDistribution",
            "TopologyAwareHints",
        ],
        minds: &[LOGS_AND_EXEC],
        source: "https://github.com/kubernetes/kubernetes/blob/master/CHANGELOG/CHANGELOG-1.36.md",
    },
    Gone {
        minor: Minor(1, 37),
        kubelet_flags: &["containerd-namespace"],
        feature_gates: &[
            "AnyVolumeDataSource",
            "AuthorizeNodeWithSelectors",
            "GangScheduling",
            "JobBackoffLimitPerIndex",
            "JobPodReplacementPolicy",
            "JobSuccessPolicy",
            "LogarithmicScaleDown",
            "OrderedNamespaceDeletion",
            "PodLifecycleSleepAction",
            "PodLifecycleSleepActionAllowZero",
            "PreventStaticPodAPIReferences",
            "RelaxedDNSSearchValidation",
            "SchedulerQueueingHints",
            "SidecarContainers",
            "StreamingCollectionEncodingToJSON",
            "StreamingCollectionEncodingToProtobuf",
            "WorkloadAwarePreemption",
        ],
        // `cmd/kubeadm/app/apis/kubeadm` holds v1beta3 and v1beta4 in v1.36.3, v1beta4 and v1 in v1.37.2.
        minds: &[Mind {
            text: "kubeadm no longer reads a configuration of v1beta3: `kubeadm config migrate` of 1.36 turns it into v1beta4",
            source: "https://github.com/kubernetes/kubernetes/tree/v1.37.2/cmd/kubeadm/app/apis/kubeadm",
        }],
        source: "https://github.com/kubernetes/kubernetes/blob/master/CHANGELOG/CHANGELOG-1.37.md",
    },
];

/// What is gone in a minor version; nothing is known of those before 1.30.
pub fn gone(minor: Minor) -> Option<&'static Gone> {
    GONE.iter().find(|gone| gone.minor == minor)
}

/// The minor version that took a flag of the kubelet (without dashes) away, if `minor` is that one or a later one.
pub fn flag_gone_since(minor: Minor, flag: &str) -> Option<&'static Gone> {
    GONE.iter().find(|gone| gone.minor <= minor && gone.kubelet_flags.contains(&flag))
}

/// The same for a feature gate.
pub fn gate_gone_since(minor: Minor, gate: &str) -> Option<&'static Gone> {
    GONE.iter().find(|gone| gone.minor <= minor && gone.feature_gates.contains(&gate))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_minor_from_1_30_on_has_a_row() {
        assert!(GONE.iter().map(|gone| gone.minor).eq((30..=37).map(|minor| Minor(1, minor))));
        assert_eq!(gone(Minor(1, 29)), None);
        for gone in GONE {
            assert!(gone.source.ends_with(&format!("CHANGELOG-{}.md", gone.minor)));
            assert!(gone.minds.iter().all(|mind| mind.source.starts_with("https://") && !mind.text.ends_with('.')));
        }
    }

    #[test]
    fn what_is_gone_stays_gone() {
        let since = |minor| flag_gone_since(Minor(1, minor), "pod-infra-container-image").map(|gone| gone.minor);
        assert_eq!([since(34), since(35), since(37)], [None, Some(Minor(1, 35)), Some(Minor(1, 35))]);
        assert_eq!(gate_gone_since(Minor(1, 37), "SidecarContainers").map(|gone| gone.minor), Some(Minor(1, 37)));
        assert_eq!(gate_gone_since(Minor(1, 37), "NodeSwap"), None);
    }

    /// The number of each list is that of the difference between upstream's sources.
    #[test]
    fn nothing_goes_twice_and_nothing_was_lost_in_copying() {
        let numbers: Vec<_> = GONE.iter().map(|gone| (gone.kubelet_flags.len(), gone.feature_gates.len())).collect();
        assert_eq!(numbers, [(1, 11), (3, 15), (0, 11), (0, 10), (2, 5), (1, 11), (0, 7), (1, 17)]);
        let all: Vec<_> = GONE.iter().flat_map(|gone| gone.kubelet_flags.iter().chain(gone.feature_gates)).collect();
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
    }
}
