"""Named sizes, and which names a module declares."""

from dimtyped.names import serializers as serializers
from dimtyped.names.changes import (
    declare_parameter as declare_parameter,
    preview as preview,
    remember_deleted as remember_deleted,
)
from dimtyped.names.claims import INHERITED as INHERITED, Claim as Claim, Claims as Claims, claims_of as claims_of
from dimtyped.names.dim import (
    Dim as Dim,
    DimSize as DimSize,
    _named as _named,  # pickles name it here
    dims as dims,
    is_dim_size as is_dim_size,
    name_of as name_of,
    plain as plain,
    shape_text as shape_text,
)
from dimtyped.names.expressions import names_in as names_in
from dimtyped.names.holders import all_holders_of as all_holders_of, holders_of as holders_of
from dimtyped.names.layers import declared_sizes as declared_sizes, labels_of as labels_of, layer_text as layer_text
from dimtyped.names.links import ParentLink as ParentLink, replaces as replaces
from dimtyped.names.owners import (
    agreement_hint as agreement_hint,
    given_text as given_text,
    lost_name_text as lost_name_text,
    owner_text as owner_text,
    short_repr as short_repr,
    short_text as short_text,
    sizes_text as sizes_text,
)
from dimtyped.names.reading import (
    BUILDING as BUILDING,
    MANAGED as MANAGED,
    read_from as read_from,
    resync as resync,
    scope_of as scope_of,
    settle as settle,
    settle_with_child as settle_with_child,
    switch_scope as switch_scope,
    tell_holders as tell_holders,
)
from dimtyped.names.scope import (
    ATTRIBUTE as ATTRIBUTE,
    KEYED_SIZES as KEYED_SIZES,
    Scope as Scope,
    ambiguous_names as ambiguous_names,
    held_scope as held_scope,
    is_off_by as is_off_by,
    is_scope as is_scope,
    is_watched as is_watched,
    scope_key_names as scope_key_names,
    scope_key_words as scope_key_words,
    set_scope as set_scope,
)
from dimtyped.names.spelling import are_similar as are_similar, similar_name as similar_name
from dimtyped.names.switches import (
    SWITCHES as SWITCHES,
    Switch as Switch,
    Switches as Switches,
    is_off_in as is_off_in,
    is_switched_off as is_switched_off,
    one_at_a_time as one_at_a_time,
    switches_of as switches_of,
)
from dimtyped.names.watched import TELLS_CHANGES as TELLS_CHANGES, UNUSED as UNUSED, note_replaced as note_replaced
