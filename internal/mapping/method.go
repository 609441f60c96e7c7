package mapping

import (
	"slices"
	"strings"
)

// ormMethods are the public methods of Odoo's BaseModel (odoo/models.py and
// the web module's, Odoo 16 to 19) that read, write or change the caller. A
// call of one of them would go around match, the egress check and only_if.
var ormMethods = []string{
	"add", "browse", "check_access", "check_access_rights", "check_access_rule", "check_field_access_rights", "concat", "copy", "copy_data",
	"copy_multi", "copy_translations", "create", "default_get", "ensure_one", "execute_import", "exists", "export_data", "fetch", "fields_get",
	"fields_view_get", "filtered", "filtered_domain", "flush", "flush_model", "flush_recordset", "get_base_url", "get_external_id",
	"get_field_translations", "get_metadata", "get_property_definition", "get_view", "get_views", "get_xml_id", "grouped", "has_access", "init",
	"invalidate_cache", "invalidate_model", "invalidate_recordset", "load", "load_views", "mapped", "modified", "name_create", "name_get",
	"name_search", "new", "onchange", "read", "read_group", "read_progress_bar", "recompute", "refresh", "search", "search_count", "search_fetch",
	"search_panel_select_multi_range", "search_panel_select_range", "search_read", "sorted", "sudo", "toggle_active", "union", "unlink", "update",
	"update_field_translations", "user_has_groups", "view_init", "write",
}

// workflow says whether a method is one that call is for: no private one, and
// none that every model has.
func workflow(method string) bool {
	return !slices.Contains(ormMethods, method) && !strings.HasPrefix(method, "_") && !strings.HasPrefix(method, "web_") && !strings.HasPrefix(method, "with_")
}
