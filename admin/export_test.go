package admin

import "net/http"

// Document answers with the description of the API, without a server.
func Document(w http.ResponseWriter) { new(api).openAPI(w, nil) }
