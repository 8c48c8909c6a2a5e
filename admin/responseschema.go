package admin

import (
	"encoding"
	"encoding/json"
	"reflect"
	"strings"
	"time"
)

// schemas makes JSON Schemas of Go types, as encoding/json writes them. Structs with a name become components.
type schemas struct{ components object }

// jsonMarshaler and textMarshaler are types with a form of their own.
var (
	jsonMarshaler = reflect.TypeFor[json.Marshaler]()
	textMarshaler = reflect.TypeFor[encoding.TextMarshaler]()
)

// of returns the schema of a type.
func (s *schemas) of(t reflect.Type) object {
	switch {
	case t == reflect.TypeFor[time.Time]():
		return object{"type": "string", "format": "date-time"}
	case t.Kind() == reflect.Pointer:
		return s.of(t.Elem())
	case t.Implements(textMarshaler) || reflect.PointerTo(t).Implements(textMarshaler):
		return object{"type": "string"}
	case t.Implements(jsonMarshaler):
		return object{}
	}
	switch t.Kind() {
	case reflect.Struct:
		return s.component(t)
	case reflect.Slice, reflect.Array:
		return object{"type": "array", "items": s.of(t.Elem())}
	case reflect.Map:
		return object{"type": "object", "additionalProperties": s.of(t.Elem())}
	}
	return scalarSchema(t.Kind())
}

// scalarSchema returns the schema of a kind that is no container; an interface may hold anything.
func scalarSchema(k reflect.Kind) object {
	switch {
	case k == reflect.String:
		return object{"type": "string"}
	case k == reflect.Bool:
		return object{"type": "boolean"}
	case k == reflect.Float32 || k == reflect.Float64:
		return object{"type": "number"}
	case k >= reflect.Int && k <= reflect.Uint64:
		return object{"type": "integer"}
	}
	return object{}
}

// component returns a reference to the schema of a struct, and adds that to the components. A struct without a name has
// its schema in place.
func (s *schemas) component(t reflect.Type) object {
	if t.Name() == "" || strings.Contains(t.Name(), "[") {
		return s.structure(t)
	}
	name := t.String() // with its package
	if _, known := s.components[name]; !known {
		s.components[name] = object{} // it may contain itself
		s.components[name] = s.structure(t)
	}
	return object{"$ref": "#/components/schemas/" + name}
}

// structure returns the schema of a struct.
func (s *schemas) structure(t reflect.Type) object {
	properties, required := object{}, []string{}
	s.fields(t, properties, &required)
	return object{"type": "object", "properties": properties, "required": required, "additionalProperties": false}
}

// fields adds the fields of a struct, those of embedded structs among them.
func (s *schemas) fields(t reflect.Type, properties object, required *[]string) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "-" || !f.IsExported() && !f.Anonymous:
		case f.Anonymous && name == "":
			of := f.Type
			if of.Kind() == reflect.Pointer {
				of = of.Elem()
			}
			s.fields(of, properties, required)
		default:
			s.field(f, name, options, properties, required)
		}
	}
}

// field adds a field of a struct.
func (s *schemas) field(f reflect.StructField, name, options string, properties object, required *[]string) {
	if name == "" {
		name = f.Name
	}
	properties[name] = s.of(f.Type)
	if !strings.Contains(options, "omitempty") && !strings.Contains(options, "omitzero") {
		*required = append(*required, name)
	}
}
