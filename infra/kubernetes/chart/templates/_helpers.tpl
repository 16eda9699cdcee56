{{- define "jobstatus.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* a long name is cut, and keeps its difference to another one that begins as it does */}}
{{- define "jobstatus.fullname" -}}
{{- $name := printf "%s-%s" .Release.Name (include "jobstatus.name" .) -}}
{{- if .Values.fullnameOverride -}}
{{- $name = .Values.fullnameOverride -}}
{{- else if contains (include "jobstatus.name" .) .Release.Name -}}
{{- $name = .Release.Name -}}
{{- end -}}
{{- if gt (len $name) 40 -}}
{{- printf "%s-%s" (trunc 33 $name | trimSuffix "-") (sha256sum $name | trunc 6) -}}
{{- else -}}
{{- $name -}}
{{- end -}}
{{- end -}}

{{- define "jobstatus.selector" -}}
app.kubernetes.io/name: {{ include "jobstatus.name" .root | quote }}
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "jobstatus.labels" -}}
{{ include "jobstatus.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "jobstatus.image" -}}
{{- $image := .Values.image -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $image.repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $image.repository (default .Chart.AppVersion $image.tag) -}}
{{- end -}}
{{- end -}}

{{/* which values a component has of its own: its login to the database, and its client of Kafka */}}
{{- define "jobstatus.of" -}}
{{- $values := .root.Values -}}
{{- $own := ternary (get $values .component) dict (has .component (list "setup" "console")) -}}
{{- $found := dict "url" $values.database.urlSecret "sasl" $values.kafka.saslSecret "certificate" $values.kafka.clientCertificate -}}
{{- range $name, $key := dict "url" "databaseUrlSecret" "sasl" "kafkaSaslSecret" "certificate" "kafkaClientCertificate" -}}
{{- $given := get $own $key -}}
{{- if and $given $given.name -}}{{- $_ := set $found $name $given -}}{{- end -}}
{{- end -}}
{{- toJson $found -}}
{{- end -}}

{{/* the environment of a component: {root, component} */}}
{{- define "jobstatus.env" -}}
{{- $values := .root.Values -}}
{{- $of := include "jobstatus.of" . | fromJson -}}
- {name: JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS, value: {{ $values.kafka.bootstrapServers | quote }}}
- {name: JOBSTATUS_KAFKA_SECURITY_PROTOCOL, value: {{ $values.kafka.securityProtocol | quote }}}
{{- if $values.kafka.saslMechanism }}
- {name: JOBSTATUS_KAFKA_SASL_MECHANISM, value: {{ $values.kafka.saslMechanism | quote }}}
{{- end }}
{{- if $of.sasl.name }}
- {name: JOBSTATUS_KAFKA_SASL_USERNAME_FILE, value: /etc/jobstatus/kafka-login/username}
- {name: JOBSTATUS_KAFKA_SASL_PASSWORD_FILE, value: /etc/jobstatus/kafka-login/password}
{{- end }}
{{- if $values.kafka.ca.name }}
- {name: JOBSTATUS_KAFKA_SSL_CA_LOCATION, value: /etc/jobstatus/kafka-ca/ca.crt}
{{- end }}
{{- if $of.certificate.name }}
- {name: JOBSTATUS_KAFKA_SSL_CERTIFICATE_LOCATION, value: /etc/jobstatus/kafka-certificate/tls.crt}
- {name: JOBSTATUS_KAFKA_SSL_KEY_LOCATION, value: /etc/jobstatus/kafka-certificate/tls.key}
{{- end }}
{{- range $name, $value := $values.kafka.properties }}
- {name: JOBSTATUS_KAFKA_{{ $name | upper | replace "." "_" }}, value: {{ $value | quote }}}
{{- end }}
{{- range $name, $_ := $values.kafka.secretProperties }}
{{- /* the value of a property that names a file is the file, and that of another one is in the file */}}
- {name: JOBSTATUS_KAFKA_{{ $name | upper | replace "." "_" }}{{ ternary "" "_FILE" (regexMatch "\\.(file|location)$" $name) }}, value: /etc/jobstatus/{{ include "jobstatus.ofProperty" $name }}/value}
{{- end }}
- {name: JOBSTATUS_DATABASE_URL_FILE, value: /etc/jobstatus/database/url}
{{- if $values.database.sslMode }}
- {name: PGSSLMODE, value: {{ $values.database.sslMode | quote }}}
{{- end }}
{{- if $values.database.ca.name }}
- {name: PGSSLROOTCERT, value: /etc/jobstatus/database-ca/ca.crt}
{{- end }}
{{- if $values.database.clientCertificate.name }}
- {name: PGSSLCERT, value: /etc/jobstatus/database-certificate/tls.crt}
- {name: PGSSLKEY, value: /etc/jobstatus/database-certificate/tls.key}
{{- end }}
{{- if $values.schemaRegistry.url }}
- {name: JOBSTATUS_SCHEMA_REGISTRY_URL, value: {{ $values.schemaRegistry.url | quote }}}
{{- if $values.schemaRegistry.userInfoSecret.name }}
- {name: JOBSTATUS_SCHEMA_REGISTRY_USER_INFO_FILE, value: /etc/jobstatus/registry-login/userInfo}
{{- end }}
{{- if $values.schemaRegistry.tokenSecret.name }}
- {name: JOBSTATUS_SCHEMA_REGISTRY_TOKEN_FILE, value: /etc/jobstatus/registry-token/token}
{{- end }}
{{- if $values.schemaRegistry.clientCertificate.name }}
- {name: JOBSTATUS_SCHEMA_REGISTRY_SSL_CERTIFICATE_LOCATION, value: /etc/jobstatus/registry-certificate/tls.crt}
- {name: JOBSTATUS_SCHEMA_REGISTRY_SSL_KEY_LOCATION, value: /etc/jobstatus/registry-certificate/tls.key}
{{- end }}
{{- if $values.schemaRegistry.ca.name }}
- {name: JOBSTATUS_SCHEMA_REGISTRY_SSL_CA_LOCATION, value: /etc/jobstatus/registry-ca/ca.crt}
{{- end }}
{{- end }}
- {name: JOBSTATUS_TOPIC, value: {{ $values.topic.name | quote }}}
{{- if $values.topic.deadLetterTopic }}
- {name: JOBSTATUS_DLQ_TOPIC, value: {{ $values.topic.deadLetterTopic | quote }}}
{{- end }}
- {name: JOBSTATUS_GROUP_ID, value: {{ $values.groupId | quote }}}
- {name: JOBSTATUS_TABLE, value: {{ $values.table | quote }}}
{{- if include "jobstatus.hasTarget" .root }}
- {name: JOBSTATUS_TARGET, value: /etc/jobstatus/target/target.toml}
{{- end }}
{{- range $name, $value := $values.settings }}
- {name: {{ $name }}, value: {{ $value | quote }}}
{{- end }}
{{- end -}}

{{/* the volume of a secret property of librdkafka */}}
{{- define "jobstatus.ofProperty" -}}
{{- printf "kafka-%s" (replace "." "-" .) | trunc 63 -}}
{{- end -}}

{{- define "jobstatus.hasTarget" -}}
{{- if or .Values.target.toml .Values.target.configMap.name }}yes{{ end -}}
{{- end -}}

{{/* one file or two of a Secret or ConfigMap, as a volume: {name, from: {kind, name}, items: {file: key}} */}}
{{- define "jobstatus.volume" -}}
- name: {{ .name }}
  {{- if eq (default "Secret" .from.kind) "ConfigMap" }}
  configMap:
    name: {{ .from.name | quote }}
  {{- else }}
  secret:
    secretName: {{ .from.name | quote }}
    # readable for the pod's group, which owns it; libpq refuses a key that others can read
    defaultMode: 0440
  {{- end }}
    items:
      {{- range $file, $key := .items }}
      - {key: {{ $key | quote }}, path: {{ $file }}}
      {{- end }}
{{- end -}}

{{/* the volumes of a component, each mounted at /etc/jobstatus/<name>: {root, component} */}}
{{- define "jobstatus.volumes" -}}
{{- $values := .root.Values -}}
{{- $of := include "jobstatus.of" . | fromJson -}}
{{ include "jobstatus.volume" (dict "name" "database" "from" $of.url "items" (dict "url" $of.url.key)) }}
{{- with $values.database.ca }}{{- if .name }}
{{ include "jobstatus.volume" (dict "name" "database-ca" "from" . "items" (dict "ca.crt" .key)) }}
{{- end }}{{- end }}
{{- with $values.database.clientCertificate }}{{- if .name }}
{{ include "jobstatus.volume" (dict "name" "database-certificate" "from" . "items" (dict "tls.crt" .certificateKey "tls.key" .privateKeyKey)) }}
{{- end }}{{- end }}
{{- with $of.sasl }}{{- if .name }}
{{ include "jobstatus.volume" (dict "name" "kafka-login" "from" . "items" (dict "username" .usernameKey "password" .passwordKey)) }}
{{- end }}{{- end }}
{{- with $values.kafka.ca }}{{- if .name }}
{{ include "jobstatus.volume" (dict "name" "kafka-ca" "from" . "items" (dict "ca.crt" .key)) }}
{{- end }}{{- end }}
{{- with $of.certificate }}{{- if .name }}
{{ include "jobstatus.volume" (dict "name" "kafka-certificate" "from" . "items" (dict "tls.crt" .certificateKey "tls.key" .privateKeyKey)) }}
{{- end }}{{- end }}
{{- range $name, $from := $values.kafka.secretProperties }}
{{ include "jobstatus.volume" (dict "name" (include "jobstatus.ofProperty" $name) "from" $from "items" (dict "value" $from.key)) }}
{{- end }}
{{- with $values.schemaRegistry.tokenSecret }}{{- if .name }}
{{ include "jobstatus.volume" (dict "name" "registry-token" "from" . "items" (dict "token" .key)) }}
{{- end }}{{- end }}
{{- with $values.schemaRegistry.clientCertificate }}{{- if .name }}
{{ include "jobstatus.volume" (dict "name" "registry-certificate" "from" . "items" (dict "tls.crt" .certificateKey "tls.key" .privateKeyKey)) }}
{{- end }}{{- end }}
{{- with $values.schemaRegistry.userInfoSecret }}{{- if .name }}
{{ include "jobstatus.volume" (dict "name" "registry-login" "from" . "items" (dict "userInfo" .key)) }}
{{- end }}{{- end }}
{{- with $values.schemaRegistry.ca }}{{- if .name }}
{{ include "jobstatus.volume" (dict "name" "registry-ca" "from" . "items" (dict "ca.crt" .key)) }}
{{- end }}{{- end }}
{{- if include "jobstatus.hasTarget" .root }}
{{- $map := $values.target.configMap }}
{{- if $values.target.toml }}
{{- $map = dict "name" (printf "%s-target%s" (include "jobstatus.fullname" .root) (ternary "-setup" "" (eq .component "setup"))) "key" "target.toml" }}
{{- end }}
{{ include "jobstatus.volume" (dict "name" "target" "from" (dict "kind" "ConfigMap" "name" $map.name) "items" (dict "target.toml" $map.key)) }}
{{- end }}
{{- if and (eq .component "console") $values.console.tokenSecret.name }}
{{ include "jobstatus.volume" (dict "name" "console-token" "from" $values.console.tokenSecret "items" (dict "token" $values.console.tokenSecret.key)) }}
{{- end }}
{{- end -}}

{{/* what every container has: {root, component} */}}
{{- define "jobstatus.container" -}}
image: {{ include "jobstatus.image" .root }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
volumeMounts:
  {{- range include "jobstatus.volumes" . | fromYamlArray }}
  - {name: {{ .name }}, mountPath: /etc/jobstatus/{{ .name }}, readOnly: true}
  {{- end }}
{{- end -}}

{{/* what every pod has: {root, component} */}}
{{- define "jobstatus.pod" -}}
{{- $values := .root.Values -}}
automountServiceAccountToken: false
# a Service whose name begins with jobstatus would set variables that a consumer refuses
enableServiceLinks: false
{{- with $values.serviceAccountName }}
serviceAccountName: {{ . | quote }}
{{- end }}
{{- with $values.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- with $values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . | quote }}
  {{- end }}
{{- end }}
securityContext:
  runAsNonRoot: true
  # the user of the image; the group also owns what is mounted
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- with $values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
volumes: {{- include "jobstatus.volumes" . | nindent 2 }}
{{- end -}}
