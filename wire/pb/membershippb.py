"""Made by scripts/genpb.py; do not edit."""

from wire.pb.pool import message

RaftAttributes = message("membershippb.RaftAttributes")
Attributes = message("membershippb.Attributes")
Member = message("membershippb.Member")
ClusterVersionSetRequest = message("membershippb.ClusterVersionSetRequest")
ClusterMemberAttrSetRequest = message("membershippb.ClusterMemberAttrSetRequest")
DowngradeInfoSetRequest = message("membershippb.DowngradeInfoSetRequest")
