//! Volumes of pods.

use super::super::schema::{Field, Message, PRESENT, Shape, table};

table!(VOLUME { 1 "name": Text, 2 "volumeSource": Inline(&VOLUME_SOURCE) });
table!(VOLUME_SOURCE {
    2 "emptyDir": Object(&EMPTY_DIR),
    3 "gcePersistentDisk": Object(&GCE_PD),
    4 "awsElasticBlockStore": Object(&AWS_EBS),
    8 "iscsi": Object(&ISCSI),
    10 "persistentVolumeClaim": Object(&CLAIM),
    11 "rbd": Object(&RBD),
    13 "cinder": Object(&VOLUME_ID_THIRD),
    18 "azureFile": Object(&AZURE_FILE),
    20 "vsphereVolume": Object(&VSPHERE),
    22 "azureDisk": Object(&AZURE_DISK),
    24 "portworxVolume": Object(&VOLUME_ID_THIRD),
    28 "csi": Object(&CSI),
    29 "ephemeral": Object(&PRESENT),
    30 "image": Object(&IMAGE),
});
table!(EMPTY_DIR { 1 "medium": Text, 2 "sizeLimit": Quantity });
table!(GCE_PD { 1 "pdName": Text, 4 "readOnly": Bool });
table!(AWS_EBS { 1 "volumeID": Text, 4 "readOnly": Bool });
table!(ISCSI { 2 "iqn": Text, 6 "readOnly": Bool });
table!(CLAIM { 1 "claimName": Text });
table!(RBD { 1 "monitors": Texts, 2 "image": Text, 4 "pool": Text, 8 "readOnly": Bool });
// Cinder and Portworx.
table!(VOLUME_ID_THIRD { 1 "volumeID": Text, 3 "readOnly": Bool });
table!(AZURE_FILE { 1 "secretName": Text, 2 "shareName": Text, 3 "readOnly": Bool });
table!(VSPHERE { 1 "volumePath": Text });
table!(AZURE_DISK { 1 "diskName": Text, 2 "diskURI": Text, 5 "readOnly": Bool });
table!(CSI { 1 "driver": Text });
table!(IMAGE { 1 "reference": Text });
