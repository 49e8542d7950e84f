"""What a member says of itself to tools that ask."""

from __future__ import annotations

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool

from trioetcd.api.local import Caller
from trioetcd.api.reflection import PATHS
from trioetcd.node.node import open_node
from trioetcd.node.settings import NodeSettings
from wire.grpc.service import Context, Peer
from wire.pb import reflectionpb
from wire.status import Status

Request = reflectionpb.ServerReflectionRequest


async def ask(*requests: Request, path: str = PATHS[0]):
    found = []
    async with open_node(NodeSettings()) as node:
        caller = Caller(node.registry, Context(path, {}, Peer()))
        async with caller.stream(path, *requests) as stream:
            while (message := await stream.next()) is not None:
                found.append(reflectionpb.ServerReflectionResponse.FromString(message))
    return found


@pytest.mark.parametrize("path", PATHS)
async def test_all_services_are_listed(path: str):
    [answer] = await ask(Request(host="h", list_services="*"), path=path)
    names = [one.name for one in answer.list_services_response.service]
    assert "etcdserverpb.KV" in names
    assert "v3lockpb.Lock" in names
    assert "grpc.reflection.v1.ServerReflection" in names
    assert (answer.valid_host, answer.original_request.list_services) == ("h", "*")


async def test_what_is_said_is_enough_to_make_calls():
    """Another program can build all messages of a service from the answer."""
    [answer] = await ask(Request(file_containing_symbol="v3electionpb.Election"))
    pool = descriptor_pool.DescriptorPool()
    files = [
        descriptor_pb2.FileDescriptorProto.FromString(data)
        for data in answer.file_descriptor_response.file_descriptor_proto
    ]
    assert files[0].name == "v3electionpb.proto"
    for file in reversed(files):
        pool.Add(file)
    observe = pool.FindServiceByName("v3electionpb.Election").methods_by_name["Observe"]
    assert observe.server_streaming
    assert "leader" in pool.FindMessageTypeByName("v3electionpb.ResignRequest").fields_by_name


async def test_every_service_that_is_listed_can_be_looked_up():
    [listed] = await ask(Request(list_services=""))
    names = [one.name for one in listed.list_services_response.service]
    known = [name for name in names if "v1alpha" not in name]
    answers = await ask(*(Request(file_containing_symbol=name) for name in known))
    assert [answer.WhichOneof("message_response") for answer in answers] == (
        ["file_descriptor_response"] * len(known)
    )


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (Request(file_containing_symbol="no.such"), Status.NOT_FOUND),
        (Request(file_by_filename="no.proto"), Status.NOT_FOUND),
        (Request(all_extension_numbers_of_type="no.such"), Status.NOT_FOUND),
        (Request(), Status.INVALID_ARGUMENT),
    ],
)
async def test_what_there_is_not_is_an_answer_too(request_: Request, status: Status):
    answers = await ask(request_, Request(file_by_filename="mvccpb.proto"))
    assert answers[0].error_response.error_code == status
    assert len(answers[1].file_descriptor_response.file_descriptor_proto) == 1
