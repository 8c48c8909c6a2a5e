{{template "apex.tmpl" .}}
{{- range .Names}}
{{.Label}} 30 DYNA geoip!{{.Label}}
{{- end}}
