"""Made by scripts/genpb.py; do not edit."""

from wire.pb.pool import message

CampaignRequest = message("v3electionpb.CampaignRequest")
CampaignResponse = message("v3electionpb.CampaignResponse")
LeaderKey = message("v3electionpb.LeaderKey")
LeaderRequest = message("v3electionpb.LeaderRequest")
LeaderResponse = message("v3electionpb.LeaderResponse")
ResignRequest = message("v3electionpb.ResignRequest")
ResignResponse = message("v3electionpb.ResignResponse")
ProclaimRequest = message("v3electionpb.ProclaimRequest")
ProclaimResponse = message("v3electionpb.ProclaimResponse")
