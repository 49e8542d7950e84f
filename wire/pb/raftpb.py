"""Made by scripts/genpb.py; do not edit."""

from wire.pb.pool import enum, message

Entry = message("raftpb.Entry")
SnapshotMetadata = message("raftpb.SnapshotMetadata")
Snapshot = message("raftpb.Snapshot")
HardState = message("raftpb.HardState")
ConfState = message("raftpb.ConfState")
ConfChange = message("raftpb.ConfChange")
ConfChangeSingle = message("raftpb.ConfChangeSingle")
ConfChangeV2 = message("raftpb.ConfChangeV2")
EntryType = enum("raftpb.EntryType")
EntryNormal = 0
EntryConfChange = 1
EntryConfChangeV2 = 2
ConfChangeType = enum("raftpb.ConfChangeType")
ConfChangeAddNode = 0
ConfChangeRemoveNode = 1
ConfChangeUpdateNode = 2
ConfChangeAddLearnerNode = 3
ConfChangeTransition = enum("raftpb.ConfChangeTransition")
ConfChangeTransitionAuto = 0
ConfChangeTransitionJointImplicit = 1
ConfChangeTransitionJointExplicit = 2
