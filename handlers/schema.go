package handlers

import (
	"github.com/vmexecutor/config-server/models"
	"github.com/vmexecutor/config-server/restapi/operations/schema"
	"github.com/vmexecutor/config-server/store"
)

type schemaHandlers struct{ store *store.Store }

func (h *schemaHandlers) keys(schema.GetSchemaKeysParams) (schema.GetSchemaKeysResponder, error) {
	fields := []*models.SchemaField{}
	for _, f := range h.store.Codec().Fields() {
		fields = append(fields, &models.SchemaField{
			Field: f.Path, Key: f.Key, Scope: f.Scope.String(), Secret: f.Secret, NonPersistent: f.NonPersistent, Type: f.Type,
		})
	}
	return schema.NewGetSchemaKeysOK().WithPayload(&models.SchemaKeys{Fields: fields}), nil
}
