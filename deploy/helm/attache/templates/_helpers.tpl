{{- define "attache.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "attache.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else if contains (include "attache.name" .) .Release.Name }}
{{- .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "attache.name" .) | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "attache.selector" -}}
app.kubernetes.io/name: {{ include "attache.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "attache.labels" -}}
{{ include "attache.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/component: gateway
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "attache.metadata" -}}
name: {{ include "attache.fullname" . }}
namespace: {{ .Release.Namespace }}
labels:
  {{- include "attache.labels" . | nindent 2 }}
{{- end }}

{{- define "attache.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "attache.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "attache.image" -}}
{{- if .Values.image.digest }}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) }}
{{- end }}
{{- end }}

{{- /* What runs while `config` is empty. */ -}}
{{- define "attache.unconfigured" -}}
listeners:
  http: { address: "0.0.0.0:8080" }
routes:
  unconfigured:
    respond:
      status: 404
      body: "attache is running without routes: set `config` in the values of the chart\n"
{{- end }}

{{- /* The whole configuration of the gateway, as YAML. */ -}}
{{- define "attache.config" -}}
{{- $given := deepCopy (default (fromYaml (include "attache.unconfigured" .)) .Values.config) }}
{{- if hasKey $given "shutdown" }}
{{- fail "config.shutdown: the chart writes it, so that it fits the grace period of the pod; set `shutdown` of the values" }}
{{- end }}
{{- if hasKey (default dict $given.metrics) "address" }}
{{- fail "config.metrics.address: the chart writes it, because the probes ask there; set `metricsPort` of the values" }}
{{- end }}
{{- with .Values.shutdown }}
{{- $shutdown := dict "drainDelay" (printf "%ds" (int .drainDelaySeconds)) "drainTimeout" (printf "%ds" (int .drainTimeoutSeconds)) "streamGrace" (printf "%ds" (int .streamGraceSeconds)) }}
{{- $_ := set $given "shutdown" $shutdown }}
{{- end }}
{{- $_ := set $given "metrics" (mergeOverwrite (default dict $given.metrics) (dict "address" (printf "0.0.0.0:%d" (int .Values.metricsPort)))) }}
{{- $_ := set $given "version" (default 1 $given.version) }}
{{- $_ := set $given "reload" (mergeOverwrite (dict "lastGoodFile" "/var/lib/attache/last-good.yaml") (default dict $given.reload)) }}
{{- toYaml $given }}
{{- end }}

{{- /* Ports of the listeners by their names, as YAML. */ -}}
{{- define "attache.listeners" -}}
{{- $config := fromYaml (include "attache.config" .) }}
{{- range $name, $listener := $config.listeners }}
{{- $port := regexFind "[0-9]+$" (toString (default "" $listener.address)) }}
{{- if not $port }}{{ fail (printf "config.listeners.%s: its `address` names no port" $name) }}{{ end }}
{{- if lt (int $port) 1024 }}{{ fail (printf "config.listeners.%s: the gateway is not root, so its port must be 1024 or more; `service.ports` may name any" $name) }}{{ end }}
{{ $name }}: {{ $port }}
{{- end }}
{{- end }}

{{- define "attache.gracePeriod" -}}
{{- with .Values.shutdown }}
{{- add .preStopSeconds .drainDelaySeconds (max (int .drainTimeoutSeconds) (int .streamGraceSeconds)) .marginSeconds }}
{{- end }}
{{- end }}
