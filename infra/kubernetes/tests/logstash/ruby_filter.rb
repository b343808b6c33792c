# Runs the code of ruby filters for the evaluator, in the JRuby that ships with Logstash. Reads a JSON request from each
# line of standard input and writes a JSON response to a line of standard output.
#
# LogStash::Event is a stand-in for the real class, with the methods that the filters use, as Logstash documents them.

require "json"
require "time"

module LogStash
  class Timestamp
    attr_reader :iso

    def initialize(iso)
      raise ArgumentError, "not a timestamp: #{iso}" unless iso.match?(/\A\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\z/)

      @iso = iso
    end

    def to_json(*) = @iso.to_json
    def to_s = @iso
  end

  class Event
    attr_accessor :fields, :metadata

    def initialize(fields = {})
      @fields = fields.dup
      raise ArgumentError, "an event's @metadata must be a map" if @fields.key?("@metadata") && !@fields["@metadata"].is_a?(Hash)

      @metadata = @fields.delete("@metadata") || {}
      @fields["@version"] ||= "1"
      tags = @fields["tags"]
      return if [tags].flatten(1).all? { |tag| tag.nil? || tag.is_a?(String) }

      @fields["_tags"] = @fields["tags"]
      @fields["tags"] = ["_tagsparsefailure"]
    end

    def get(reference)
      path(reference).reduce(root(reference)) { |node, name| node.is_a?(Hash) ? node[name] : (return nil) }
    end

    def set(reference, value)
      *parents, last = path(reference)
      parents.reduce(root(reference)) { |node, name| node[name] ||= {} }[last] = value
    end

    def remove(reference)
      *parents, last = path(reference)
      parents.reduce(root(reference)) { |node, name| node[name] || (return nil) }.delete(last)
    end

    def include?(reference)
      *parents, last = path(reference)
      parents.reduce(root(reference)) { |node, name| node[name] || (return false) }.key?(last)
    end

    def sprintf(format)
      time = Time.iso8601(@fields["@timestamp"].to_s).utc
      format.gsub(/%\{\+YYYY\.MM\.dd\}/) { time.strftime("%Y.%m.%d") }
    end

    def to_hash = Marshal.load(Marshal.dump(@fields))
    def to_json(*) = @fields.to_json

    def overwrite(other)
      @fields = other.fields
      self
    end

    private

    def root(reference)
      reference.start_with?("[@metadata]") ? { "@metadata" => @metadata } : @fields
    end

    def path(reference)
      return [reference] unless reference.start_with?("[")
      raise ArgumentError, "not a field reference: #{reference}" unless reference.match?(/\A(\[[^\[\],]+\])+\z/)

      reference.scan(/\[([^\[\]]+)\]/).flatten
    end
  end
end

# Works like the plugin: runs `init` once and `code` as a method with the parameter `event`.
class RubyFilter
  def initialize(init, code)
    eval(init, binding, "(ruby filter init)") if init
    eval("define_singleton_method :filter_method do |event|\n #{code} \nend", binding, "(ruby filter code)")
  end
end

filters = Hash.new { |known, (init, code)| known[[init, code]] = RubyFilter.new(init, code) }
$stdout.sync = true
while (line = $stdin.gets)
  begin
    request = JSON.parse(line)
    event = LogStash::Event.new
    event.fields = request["fields"]
    event.metadata = request["metadata"]
    filters[[request["init"], request["code"]]].filter_method(event)
    puts JSON.generate({ "fields" => event.fields, "metadata" => event.metadata }, max_nesting: 0)
  rescue Exception => e
    puts JSON.generate("error" => "#{e.class}: #{e.message}", "backtrace" => e.backtrace.first(5))
  end
end
