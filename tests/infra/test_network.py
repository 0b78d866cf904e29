"""The network, as far as an emulator can make it: it knows no NAT gateway."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest

from tests.infra.conftest import MakeClient, deploy
from tests.infra.test_templates import read

NAT = ("AddressA", "AddressB", "NatA", "NatB", "PrivateRouteA", "PrivateRouteB")


def _without_nat() -> str:
    whole = read("network.yaml")
    kept = {key: one for key, one in whole["Resources"].items() if key not in NAT}
    return json.dumps(whole | {"Resources": kept})


def _ways(tables: Iterable[dict[str, Any]], subnet: str) -> list[dict[str, Any]]:
    """The routes of a subnet."""
    return [
        route
        for table in tables
        for one in table["Associations"]
        if one.get("SubnetId") == subnet
        for route in table["Routes"]
    ]


@pytest.fixture(scope="module")
def made(client: MakeClient) -> dict[str, str]:
    """The outputs of a network that was made."""
    return deploy(client, "memo-network", _without_nat(), {})


def test_a_network_that_is_made_has_two_ways_in_and_none_to_what_is_private(
    client: MakeClient, made: dict[str, str]
) -> None:
    """Four subnets in two zones that do not overlap; only the public ones have a way to the Internet gateway."""
    ec2 = client("ec2")
    public, private = made["PublicSubnets"].split(","), made["PrivateSubnets"].split(",")
    subnets = ec2.describe_subnets(SubnetIds=[*public, *private])["Subnets"]
    assert len({one["CidrBlock"] for one in subnets}) == 4
    assert {one["VpcId"] for one in subnets} == {made["VpcId"]}
    zones = {one["SubnetId"]: one["AvailabilityZone"] for one in subnets}
    assert zones[public[0]] == zones[private[0]] != zones[public[1]] == zones[private[1]]
    tables = ec2.describe_route_tables()["RouteTables"]
    for subnet in public:
        assert [way for way in _ways(tables, subnet) if str(way.get("GatewayId")).startswith("igw-")]
    for subnet in private:
        assert not [way for way in _ways(tables, subnet) if str(way.get("GatewayId")).startswith("igw-")]
    [endpoint] = ec2.describe_vpc_endpoints(Filters=[{"Name": "vpc-id", "Values": [made["VpcId"]]}])["VpcEndpoints"]
    assert endpoint["ServiceName"] == "com.amazonaws.us-east-1.s3"
    assert len(endpoint["RouteTableIds"]) == 2


def test_a_network_of_ones_own_stays_and_gets_the_endpoints_that_are_asked_for(
    client: MakeClient, made: dict[str, str]
) -> None:
    """Nothing is made but these; its subnets are handed on."""
    ec2 = client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.9.{number}.0/24")["Subnet"]["SubnetId"] for number in range(4)
    ]
    own = {"VpcId": vpc, "PrivateSubnets": ",".join(subnets[:2]), "PublicSubnets": ",".join(subnets[2:])}
    vpcs = len(ec2.describe_vpcs()["Vpcs"])
    given = deploy(client, "memo-own", _without_nat(), {**own, "PrivateRouteTables": table, "Endpoints": "all"})
    assert given == own
    assert len(ec2.describe_vpcs()["Vpcs"]) == vpcs
    found = ec2.describe_vpc_endpoints(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["VpcEndpoints"]
    services = {one["ServiceName"].removeprefix("com.amazonaws.us-east-1."): one["VpcEndpointType"] for one in found}
    interfaces = dict.fromkeys(("ecr.api", "ecr.dkr", "logs", "secretsmanager", "sqs"), "Interface")
    assert services == {"s3": "Gateway", **interfaces}


def test_the_private_subnets_reach_the_internet_by_nat() -> None:
    """What the emulator cannot make, by the template: each goes through a gateway in a public subnet, the second
    through its own where two are wanted."""
    resources = read("network.yaml")["Resources"]
    for way in ("PrivateRouteA", "PrivateRouteB"):
        assert resources[way]["Properties"]["DestinationCidrBlock"] == "0.0.0.0/0"
    assert resources["PrivateRouteA"]["Properties"]["NatGatewayId"] == {"Ref": "NatA"}
    assert resources["PrivateRouteB"]["Properties"]["NatGatewayId"] == {
        "Fn::If": ["MakesTwoNats", {"Ref": "NatB"}, {"Ref": "NatA"}]
    }
    assert [resources[nat]["Properties"]["SubnetId"] for nat in ("NatA", "NatB")] == [
        {"Ref": "PublicA"},
        {"Ref": "PublicB"},
    ]


def test_a_ledger_and_a_broker_of_ones_own_are_handed_on(client: MakeClient, made: dict[str, str]) -> None:
    """Only the processes' group is made, which yours must let in; it lets out to the ports that were named."""
    own = {"DatabaseUrlSecret": "arn:of:the:ledger", "BrokerUrlSecret": "arn:of:the:broker"}
    where = {"VpcId": made["VpcId"], "PrivateSubnets": made["PrivateSubnets"], "DatabasePort": "6432"}
    given = deploy(client, "memo-data", "data.yaml", {**own, **where})
    assert given["MemolineDatabaseUrlSecret"] == own["DatabaseUrlSecret"]
    assert given["MemolineBrokerUrlSecret"] == own["BrokerUrlSecret"]
    ec2 = client("ec2")
    [group] = ec2.describe_security_groups(GroupIds=[given["ProcessGroupId"]])["SecurityGroups"]
    assert {443, 6432, 6379} <= {rule.get("FromPort") for rule in group["IpPermissionsEgress"]}
    made_too = client("cloudformation").describe_stack_resources(StackName="memo-data")["StackResources"]
    assert [one["LogicalResourceId"] for one in made_too] == ["ProcessGroup"]
