"""jaxtyping annotations as data: axes, hints, signatures and `Packed`."""

from dimtyped.annotations.assignments import (
    FunctionNode as FunctionNode,
    assignments_in as assignments_in,
    names_array as names_array,
    nodes_of as nodes_of,
    written_out as written_out,
)
from dimtyped.annotations.axes import (
    TORCH_DTYPES as TORCH_DTYPES,
    ArrayHint as ArrayHint,
    Axis as Axis,
    Kind as Kind,
    annotation_text as annotation_text,
    is_array_annotation as is_array_annotation,
    parse_axes as parse_axes,
    read_array as read_array,
)
from dimtyped.annotations.beartype_compat import (
    is_bearable as is_bearable,
    is_known as is_known,
    load as load,
    modern as modern,
)
from dimtyped.annotations.binding_order import (
    free_names as free_names,
    in_order as in_order,
    names_of as names_of,
    parts_in_order as parts_in_order,
    wait_for_one_another as wait_for_one_another,
)
from dimtyped.annotations.expressions import (
    broadcast_variadic as broadcast_variadic,
    evaluate as evaluate,
    linear as linear,
    solve as solve,
    turn as turn,
    unknown_names as unknown_names,
)
from dimtyped.annotations.hints import (
    AnythingHint as AnythingHint,
    BeartypeHint as BeartypeHint,
    ClassHint as ClassHint,
    Hint as Hint,
    Inexpressible as Inexpressible,
    ItemsHint as ItemsHint,
    MappingHint as MappingHint,
    RecordHint as RecordHint,
    TupleHint as TupleHint,
    UnionHint as UnionHint,
    arrays_in as arrays_in,
    container_kind as container_kind,
    holds_unpacked as holds_unpacked,
    mentions_tensors as mentions_tensors,
    read_hint as read_hint,
    record_fields as record_fields,
    unchecked_classes as unchecked_classes,
    underlying as underlying,
)
from dimtyped.annotations.lint import warn_of as warn_of
from dimtyped.annotations.packed import Packed as Packed, is_packed as is_packed, packed_shape as packed_shape
from dimtyped.annotations.resolving import (
    may_name_tensors as may_name_tensors,
    names_tensors as names_tensors,
    outer_names as outer_names,
    words_in as words_in,
)
from dimtyped.annotations.signature import (
    FunctionKind as FunctionKind,
    Parameter as Parameter,
    Signature as Signature,
    display_name as display_name,
    function_kind_of as function_kind_of,
    path_source as path_source,
    read_signature as read_signature,
    size_at as size_at,
)
