package batches

import (
	"fmt"

	"github.com/vagus-health/vagus/broker"
)

// existing are records that the units refer to.
type existing struct {
	partner, product int64
	country          int64
}

const partnerXID, productXID = "vagus_bench.partner", "vagus_bench.product"

// A model is measured. vals are of the n-th unit; columns and rows are the same
// as load takes them, the first row with the fields of the record.
type model struct {
	name, model string
	units       int // in a round: full calls of Apply in pairs, so that the last one does not run alone
	records     int // in a call by hand: fifty, or as many documents as make fifty rows
	vals        func(e existing, n int) broker.Values
	columns     []string
	rows        func(e existing, n int) [][]any
}

var models = []model{
	{"partner", "res.partner", 1600, 50, func(_ existing, n int) broker.Values {
		return broker.Values{"name": "Bench", "ref": fmt.Sprint(n), "phone": "+1 512 5550100", "email": "a@example.org", "street": "1 Main Street", "city": "Austin", "zip": "78701",
			"country_id": map[string]any{"$ref": "res.country", "by": map[string]any{"code": "US"}}}
	}, []string{"name", "ref", "phone", "email", "street", "city", "zip", "country_id/.id"}, func(e existing, n int) [][]any {
		return [][]any{{"Bench", fmt.Sprint(n), "+1 512 5550100", "a@example.org", "1 Main Street", "Austin", "78701", fmt.Sprint(e.country)}}
	}},
	{"product", "product.product", 800, 50, func(_ existing, n int) broker.Values {
		return broker.Values{"name": "Bench", "default_code": fmt.Sprint(n), "type": "consu", "list_price": 12.5, "sale_ok": true}
	}, []string{"name", "default_code", "type", "list_price", "sale_ok"}, func(_ existing, n int) [][]any {
		return [][]any{{"Bench", fmt.Sprint(n), "consu", "12.5", "1"}}
	}},
	{"invoice", "account.move", 400, 16, func(_ existing, n int) broker.Values {
		return broker.Values{"move_type": "out_invoice", "ref": fmt.Sprint(n), "partner_id": map[string]any{"$xid": partnerXID},
			"invoice_line_ids": lines(func(i int) broker.Values {
				return broker.Values{"name": fmt.Sprint("Line ", i), "quantity": i, "price_unit": 10.5}
			})}
	}, []string{"move_type", "ref", "partner_id/.id", "invoice_line_ids/name", "invoice_line_ids/quantity", "invoice_line_ids/price_unit"}, func(e existing, n int) [][]any {
		return [][]any{{"out_invoice", fmt.Sprint(n), fmt.Sprint(e.partner), "Line 1", "1", "10.5"}, {"", "", "", "Line 2", "2", "10.5"}, {"", "", "", "Line 3", "3", "10.5"}}
	}},
	{"purchase-order", "purchase.order", 400, 16, func(_ existing, n int) broker.Values {
		return broker.Values{"partner_ref": fmt.Sprint(n), "partner_id": map[string]any{"$xid": partnerXID},
			"order_line": lines(func(i int) broker.Values {
				return broker.Values{"product_id": map[string]any{"$xid": productXID}, "product_qty": i, "price_unit": 10.5}
			})}
	}, []string{"partner_ref", "partner_id/.id", "order_line/product_id/.id", "order_line/product_qty", "order_line/price_unit"}, func(e existing, n int) [][]any {
		p := fmt.Sprint(e.product)
		return [][]any{{fmt.Sprint(n), fmt.Sprint(e.partner), p, "1", "10.5"}, {"", "", p, "2", "10.5"}, {"", "", p, "3", "10.5"}}
	}},
	{"employee", "hr.employee", 400, 50, func(_ existing, n int) broker.Values {
		return broker.Values{"name": "Bench", "work_phone": "+1 512 5550100", "work_email": fmt.Sprint("b", n, "@example.org")}
	}, []string{"name", "work_phone", "work_email"}, func(_ existing, n int) [][]any {
		return [][]any{{"Bench", "+1 512 5550100", fmt.Sprint("b", n, "@example.org")}}
	}},
}

func lines(vals func(i int) broker.Values) map[string]any {
	var list []any
	for i := 1; i <= 3; i++ {
		list = append(list, map[string]any{"key": fmt.Sprint(i), "vals": map[string]any(vals(i))})
	}
	return map[string]any{"$merge": list}
}
