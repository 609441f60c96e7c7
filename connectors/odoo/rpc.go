package odoo

import "context"

// rpc is what JSON-RPC and XML-RPC have in common: services with methods that
// take their parameters by place.
type rpc struct {
	name string
	call func(ctx context.Context, service, method string, args []any) (any, error)
}

func (r *rpc) login(ctx context.Context, as who) (int64, error) {
	res, err := r.call(ctx, "common", "authenticate", []any{as.db, as.user, as.key, map[string]any{}})
	if err != nil {
		return 0, err
	}
	uid, ok := asInt(res) // false for a wrong user or key
	if !ok || uid <= 0 {
		return 0, &fault{class: "AccessDenied"}
	}
	return uid, nil
}

func (r *rpc) execute(ctx context.Context, as who, model, method string, args []arg, kw map[string]any) (any, error) {
	values := make([]any, len(args))
	for i := range args {
		values[i] = args[i].value
	}
	return r.call(ctx, "object", "execute_kw", []any{as.db, as.uid, as.key, model, method, values, kw})
}

func (r *rpc) version(ctx context.Context) (string, error) {
	res, err := r.call(ctx, "common", "version", []any{})
	if err != nil {
		return "", err
	}
	about, _ := res.(map[string]any)
	version, ok := about["server_serie"].(string)
	if !ok {
		return "", &fault{class: "net.garbage"}
	}
	return version, nil
}
