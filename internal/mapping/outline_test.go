package mapping

import (
	"fmt"
	"strings"
	"testing"
)

func TestAnOutlineKnowsWhichOutcomesAreImpossible(t *testing.T) {
	t.Parallel()
	const lets = `let:
  must: { from: PID-8, required: true }
  some: { from: PID-8 }
  preset: { from: "OBX[first]-5[first]", cel: "it + ''", default: x, declassify: { drop: [clinical], because: "a test of what it is made of" } }
  fixed: { value: x }
  lenient: { from: PID-8, required: true, on_error: skip }
  whenever: { from: PID-8, required: true, when: "v('PID-8') != 'X'" }
  again: { from: must }
  number: { from: must, cel: "size(it)" }
operations:`
	for _, c := range []struct{ rule, want string }{
		{`{ from: some }`, `value absent null`},
		{`{ from: must }`, `value`},
		{`{ from: again }`, `value`},
		{`{ from: fixed }`, `value`},
		{`{ from: preset }`, `value absent null`}, // null hides the default
		{`{ from: lenient }`, `value absent`},
		{`{ from: whenever }`, `value absent`},
		{`{ from: must, when: "it == 'F'" }`, `value when_false`},
		{`{ from: must, cel: "it + 'x'" }`, `value absent`}, // an expression may give ''
		{`{ from: number, cel: string(it) }`, `value absent`},
		{`{ from: must, default: x }`, `value`},
		{`{ from: some, default: x }`, `value null default`},
		{`{ from: [some, must] }`, `value`},
		{`{ from: must, required: true }`, `value`},
		{`{ from: some, required: true }`, `value error`},
		{`{ from: must, map: any }`, `value`},
		{`{ from: must, map: { table: any, on_miss: skip } }`, `value skipped`},
		{`{ from: must, map: { table: twice, on_miss: default }, default: x }`, `value default`},
		{`{ from: must, map: twice }`, `value error`},
		{`{ from: must, map: sex }`, `value absent error`}, // U becomes nothing
		{`{ text: "{must} {fixed}" }`, `value`},
		{`{ text: "{must} {some}" }`, `value absent`},
		{`{ value: x }`, `value`},
		{`{ value: null }`, `null`},
	} {
		text := strings.Replace(withFields("ref: "+c.rule+"\nname: { text: \"{some}{preset}{fixed}{lenient}{whenever}{again}{number}\" }\n"+
			"comment: { from: PID-8, map: sex }\nfunction: { from: PID-8, map: any }\ngender: { from: PID-8, map: twice }"), "operations:", lets, 1)
		text = strings.Replace(text, "      function: { from: PID-8, map: any }\n", "", 1)
		m := mustLoad(t, text)
		if got := strings.Trim(fmt.Sprint(m.Outline().Operations[0].Rules[0].Outcomes), "[]"); got != c.want {
			t.Errorf("%s\n got %s\nwant %s", c.rule, got, c.want)
		}
	}
}

func TestALetThatIsEmptyOrSwitchedOffIsAbsent(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ let, want string }{
		{`{ from: { a: PID-8, b: PID-7 }, cel: "''", required: true }`, `required, but nothing comes of PID-8 and PID-7`},
		{`{ from: { a: PID-8, b: PID-7 }, cel: "''", default: y }`, `"name":"y"`},
		{`{ from: PID-8, when: "it == 'M'", required: true }`, `"ref":"F"`},
	} {
		text := strings.Replace(withFields("name: x\nref: PID-8"), "operations:", "let: { x: "+c.let+" }\noperations:", 1)
		got := outcome(mustLoad(t, text).Run(t.Context(), decode(t, msh+"PID|1||7|||||F\n")))
		if !strings.Contains(got, c.want) {
			t.Errorf("%s\n got %s\nwant %s", c.let, got, c.want)
		}
	}
}
